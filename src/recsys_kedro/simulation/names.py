"""The words that simulated products, brands and categories are called by."""

from typing import Final

import polars as pl

SUBCATEGORIES: Final[dict[str, tuple[str, ...]]] = {
    "kitchen": ("kettle", "frying pan", "cutlery", "storage jar"),
    "lighting": ("table lamp", "lantern", "string lights", "bulb"),
    "garden": ("planter", "watering can", "hand tools", "bird feeder"),
    "stationery": ("notebook", "fountain pen", "desk tray", "wrapping paper"),
    "toys": ("building blocks", "plush animal", "jigsaw", "board game"),
    "coffee and tea": ("coffee beans", "loose tea", "filters", "cocoa"),
    "audio": ("headphones", "speaker", "turntable", "microphone"),
    "bath": ("towel", "soap", "bath mat", "shampoo"),
    "bedroom": ("duvet cover", "pillow", "blanket", "alarm clock"),
    "outdoor": ("tent", "rucksack", "head torch", "water bottle"),
    "fitness": ("yoga mat", "dumbbell", "resistance band", "protein bar"),
    "pets": ("dog food", "cat litter", "chew toy", "pet bed"),
    "baby": ("nappies", "bottle", "sleeping bag", "rattle"),
    "books": ("novel", "cookbook", "travel guide", "picture book"),
    "cleaning": ("detergent", "sponges", "mop", "bin bags"),
    "decoration": ("vase", "picture frame", "candle", "wall clock"),
    "computing": ("keyboard", "mouse", "cable", "laptop stand"),
    "shoes": ("trainers", "boots", "sandals", "slippers"),
    "clothing": ("t-shirt", "jumper", "rain jacket", "socks"),
    "jewellery": ("necklace", "earrings", "bracelet", "ring box"),
    "snacks": ("chocolate", "crisps", "nuts", "biscuits"),
    "cycling": ("helmet", "bike light", "pump", "pannier"),
    "photography": ("tripod", "camera bag", "film", "photo album"),
    "festive": ("wreath", "baubles", "crackers", "advent calendar"),
}
SUBCATEGORIES_PER_CATEGORY: Final = 4

# One style per latent direction and sign: what a product's style says about its latent vector.
STYLES: Final = (
    "classic", "modern", "rustic", "sleek", "vintage", "bold", "minimal", "playful",
    "natural", "urban", "delicate", "sturdy",
)  # fmt: skip

_FIRST_SYLLABLES = ("Nor", "Al", "Bex", "Cal", "Dor", "El", "Fen", "Gal", "Hal", "Iv", "Kel", "Lum")
_LAST_SYLLABLES = ("vik", "dane", "ora", "ton", "mere", "by", "ley", "aro", "wick", "sen", "ia")


def category_names(count: int) -> list[str]:
    """``count`` different names; numbered from the second round on."""
    return _numbered(list(SUBCATEGORIES), count)


def subcategory_names(categories: int) -> list[str]:
    """Four names per category, in the order of :func:`category_names`."""
    words = list(SUBCATEGORIES.values())
    rounds = [divmod(number, len(words)) for number in range(categories)]
    return [
        word if not again else f"{word} {again + 1}"
        for again, number in rounds
        for word in words[number]
    ]


def brand_names(count: int) -> list[str]:
    """``count`` different invented names; numbered from the second round on."""
    words = [first + last for last in _LAST_SYLLABLES for first in _FIRST_SYLLABLES]
    return _numbered(words, count)


def numbered_ids(prefix: str, count: int) -> pl.Series:
    """(count,) ``prefix`` and a number, as wide as the last one needs."""
    numbers = pl.int_range(1, count + 1, eager=True).cast(pl.String)
    return prefix + numbers.str.zfill(len(str(count)))


def _numbered(words: list[str], count: int) -> list[str]:
    rounds = [divmod(number, len(words)) for number in range(count)]
    return [words[n] if not again else f"{words[n]} {again + 1}" for again, n in rounds]
