"""HTML pages, as tests look at them."""

import re
from html.parser import HTMLParser


class Page(HTMLParser):
    """The tags left open, everything that a tag refers to, and what can be referred to."""

    def __init__(self, text):
        super().__init__()
        self.open, self.references, self.ids = [], [], set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "link", "br", "img"):
            self.open.append(tag)
        self.references += [value for name, value in attrs if name in ("src", "href") and value]
        self.ids |= {value for name, value in attrs if name == "id"}

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def assert_needs_nothing_but_itself(text):
    """Whole, with every reference to a place in it, and nothing that would be fetched or run."""
    page = Page(text)
    assert page.open == []
    assert set(page.references) <= {f"#{id_}" for id_ in page.ids}
    assert not re.search(r"<script|@import|url\((?!#)|<link", text)
