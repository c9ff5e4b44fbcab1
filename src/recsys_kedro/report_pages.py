"""Reports as HTML pages in one look, each a single file: no network, no other file."""

from functools import cache
from typing import Any, Final

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined, Template

MADE_UP_SHOPS: Final = ("simulated", "test", "ab_demo")


def is_made_up(shop: str) -> bool:
    """Whether the shop is a simulated one; whatever shows figures of it has to say so."""
    return shop.startswith(MADE_UP_SHOPS)


def render_page(package: str, shop: str, **context: Any) -> str:
    """The page of ``templates/report.html.jinja`` in a package, which extends ``page.html.jinja``.

    Args:
        package: its full name.
        shop: whose figures they are; a made-up one is shown as such.
        context: what else the template uses.
    """
    return _template(package).render(shop=shop, made_up=is_made_up(shop), **context)


@cache
def _template(package: str) -> Template:
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader("recsys_kedro")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.jinja")
