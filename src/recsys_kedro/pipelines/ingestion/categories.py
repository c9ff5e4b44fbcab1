"""Categories for a shop that has none, from the names of its products.

The rule, for names such as "SET OF 3 RED RETROSPOT CAKE TINS":

1. What follows a *break* ("with", "for", …) is left out; what remains is cut into words of
   letters, in the singular, without *modifiers* (colours, sizes, materials, patterns, …).
2. A name's category is that of its words which the most names end with. In English the last
   noun says what a thing is, but names also end with a pattern ("LUNCH BAG WOODLAND"): few
   names end with "woodland", many with "bag".
3. A category that fewer than ``minimum_products`` products share becomes ``other``.
4. The subcategory is the category with the word before it ("lunch bag"), where as many
   products share it.

Every tie goes to the later word, so the same names give the same categories.
"""

import polars as pl

from recsys_kedro import columns as c
from recsys_kedro.pipelines.ingestion.options import CategoryOptions

_WORD, _POSITION, _ENDS = "word", "position", "ends"


def derive_categories(products: pl.DataFrame, options: CategoryOptions) -> pl.DataFrame:
    """``product_id, category, subcategory``, one row per product with a name, sorted.

    Args:
        products: ``product_id`` (unique) and ``name``.
        options: the words and the least size of a category.
    """
    words = _words(products, options)
    by_position = words.sort(c.PRODUCT_ID, _POSITION)
    ends = by_position.group_by(c.PRODUCT_ID).agg(pl.col(_WORD).last())[_WORD].value_counts()
    heads = (
        by_position.with_columns(pl.col(_WORD).shift().over(c.PRODUCT_ID).alias("before"))
        .join(ends.rename({"count": _ENDS}), on=_WORD, how="left")
        .with_columns(pl.col(_ENDS).fill_null(0))
        .sort([c.PRODUCT_ID, _ENDS, _POSITION], descending=[False, True, True])
        .unique(c.PRODUCT_ID, keep="first", maintain_order=True)
    )
    enough = pl.len().over("head") >= options.minimum_products
    pair = pl.format("{} {}", "before", "head")
    return (
        products.filter(pl.col(c.NAME).is_not_null())
        .select(c.PRODUCT_ID)
        .join(heads.rename({_WORD: "head"}), on=c.PRODUCT_ID, how="left")
        .select(
            c.PRODUCT_ID,
            pl.when(pl.col("head").is_not_null() & enough)
            .then("head")
            .otherwise(pl.lit(options.other))
            .alias(c.CATEGORY),
            pl.when(pair.is_not_null() & (pl.len().over(pair) >= options.minimum_products))
            .then(pair)
            .alias(c.SUBCATEGORY),
        )
        .sort(c.PRODUCT_ID)
    )


def _words(products: pl.DataFrame, options: CategoryOptions) -> pl.DataFrame:
    """``product_id, position, word``: what may name a category."""
    ends = "|".join(sorted(options.breaks)) or "[^\\s\\S]"
    modifiers = pl.DataFrame({_WORD: sorted(options.modifiers)}, schema={_WORD: pl.String})
    singular_modifiers = modifiers.select(_singular(pl.col(_WORD)))[_WORD].to_list()
    what = pl.col(c.NAME).str.to_lowercase().str.replace(rf"(\S.*?)\b(?:{ends})\b.*$", "$1")
    return (
        products.select(c.PRODUCT_ID, what.str.extract_all(r"\pL{3,}").alias(_WORD))
        .explode(_WORD)
        .with_columns(_singular(pl.col(_WORD)))
        .with_columns(pl.int_range(pl.len()).over(c.PRODUCT_ID).alias(_POSITION))
        .filter(pl.col(_WORD).is_not_null(), ~pl.col(_WORD).is_in(singular_modifiers))
    )


def _singular(word: pl.Expr) -> pl.Expr:
    """English plurals that the spelling gives away; other words stay."""
    return (
        word.str.replace(r"(.{2})ies$", "${1}y")
        .str.replace(r"(x|ch|sh|ss)es$", "${1}")
        .str.replace(r"([^su])s$", "${1}")
    )
