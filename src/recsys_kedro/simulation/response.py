"""Shoppers that answer recommendations: impressions in, events out.

A simulated shop is lived without recommendations up to a time. From then on its visits come
again, one after the other, with the lists that a server shows them.
"""

from datetime import datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_kedro import columns as c
from recsys_kedro.columns import EventType
from recsys_kedro.simulation.catalogue import Catalogue
from recsys_kedro.simulation.demand import Visits
from recsys_kedro.simulation.events import (
    MORE_PIECES_SHARE,
    RETURN_DAYS,
    SEARCH_SHARE,
    described,
    in_time_order,
    quantities,
    search_queries,
    sent_back,
    session_ids,
)
from recsys_kedro.simulation.memory import EMPTY, PurchaseMemory
from recsys_kedro.simulation.oracle import Tastes, memory_as_of
from recsys_kedro.simulation.period import SECONDS_PER_DAY, WEEK_SECONDS, times
from recsys_kedro.simulation.response_choice import Decisions, ResponseOptions, Sessions, decide
from recsys_kedro.simulation.response_noise import Noise, Stream
from recsys_kedro.simulation.sessions import (
    DRAWN_PRODUCTS,
    LATEST_CHECKOUT,
    MEAN_PAUSE,
    SOONEST_CHECKOUT,
    SessionEvents,
    draw_browsed,
    draw_considered,
    timeline,
)
from recsys_kedro.simulation.shoppers import DEVICES
from recsys_kedro.vocabulary import Vocabulary


class Audience:
    """The shoppers of some weeks. It remembers what they buy, so the order of calls counts.

    Which lists are shown changes neither who comes when, nor what a session is about, nor its
    noise: two audiences of the same seed differ by their lists alone.
    """

    def __init__(
        self,
        tastes: Tastes,
        history: pl.DataFrame,
        start: datetime,
        end: datetime,
        options: ResponseOptions,
        seed: int,
    ) -> None:
        """Gather them.

        Args:
            tastes: the truth of the shop.
            history: its events; what was bought before ``start`` is remembered.
            start: UTC, of the weeks.
            end: UTC; visits that begin before it go on.
            options: how they answer.
            seed: of their noise; another seed is another life of the same shoppers.
        """
        self._tastes, self._options, self._noise = tastes, options, Noise(seed)
        self._memory = memory_as_of(tastes, history, start)
        self._sessions = sessions_between(tastes, start, end, seed)
        self._products = Vocabulary(tastes.product_ids)
        self._ids = Vocabulary(session_ids(tastes.visits).gather(self._sessions.session))

    @property
    def visits(self) -> pl.DataFrame:
        """``session_id, user_id, timestamp, device_type`` of all sessions, sorted by time."""
        visits, session = self._tastes.visits, self._sessions.session
        return pl.DataFrame(
            {
                c.SESSION_ID: self._ids.ids,
                c.USER_ID: self._tastes.world.shoppers.ids.gather(visits.user[session]),
                c.TIMESTAMP: times(self._tastes.options, visits.start_second[session]),
                c.DEVICE_TYPE: pl.Series(DEVICES).gather(visits.device[session]),
            }
        )

    def respond(self, visits: pl.DataFrame, impressions: pl.DataFrame) -> pl.DataFrame:
        """What happens in these visits; purchases are known in later calls.

        Args:
            visits: some rows of :attr:`visits`, at most one a user; the next ones of the users.
            impressions: ``session_id, position, product_id, recommendation_id`` of the list that
                each visit is shown as it begins. A visit without one browses all the same.

        Returns:
            Events with the columns of the simulated shop and ``recommendation_id``, sorted by
            time; returns may lie long after the visit. The id is that of the answer for what
            follows a click in a list, unless it got lost.

        Raises:
            ValueError: if a session or product is unknown, a visit is shown two lists, or a user
                comes twice.
        """
        sessions = self._sessions.rows(_known(self._ids, visits[c.SESSION_ID], "visits"))
        if len(np.unique(sessions.user)) < len(sessions.user):
            user = visits[c.USER_ID].filter(visits[c.USER_ID].is_duplicated())[0]
            msg = f"visits: user '{user}' comes several times; give one visit a user at a time"
            raise ValueError(msg)
        list_SL = self._lists(visits, impressions)
        world, options = self._tastes.world, self._tastes.options
        decisions = decide(sessions, list_SL, world, self._memory, self._noise, self._options)
        happened = _events_of(sessions, decisions, self._noise)
        bought = happened.where(happened.kind == EventType.PURCHASE)
        remember(bought, self._tastes.visits, self._memory)
        returned = _returned(bought, options.return_share, self._noise)
        happened = in_time_order(SessionEvents.concat([happened, returned]), options)
        row, place = np.nonzero(decisions.clicked_SX[:, : list_SL.shape[1]])
        clicks = pl.DataFrame(
            {c.SESSION_ID: visits[c.SESSION_ID].gather(row), c.POSITION: place + 1}
        )
        return self._table(happened, clicks.join(impressions, on=[c.SESSION_ID, c.POSITION]))

    def _lists(self, visits: pl.DataFrame, impressions: pl.DataFrame) -> NDArray[np.int32]:
        """(S, L) products by visit and position, -1 where nothing is shown."""
        row = _known(Vocabulary(visits[c.SESSION_ID]), impressions[c.SESSION_ID], "impressions")
        place = impressions[c.POSITION].to_numpy() - 1
        twice = impressions.select(c.SESSION_ID, c.POSITION).is_duplicated()
        if twice.any():
            session = impressions[c.SESSION_ID].filter(twice)[0]
            msg = f"impressions: session '{session}' is shown several lists; give one a visit"
            raise ValueError(msg)
        list_SL = np.full((visits.height, place.max(initial=-1) + 1), EMPTY, np.int32)
        list_SL[row, place] = _known(self._products, impressions[c.PRODUCT_ID], "impressions")
        return list_SL

    def _table(self, events: SessionEvents, clicks: pl.DataFrame) -> pl.DataFrame:
        """The events in the shape of the data contract, credited to the ``clicks`` in lists."""
        tastes, noise = self._tastes, self._noise
        catalogue, session = tastes.world.catalogue, events.session
        step = events.product * len(EventType) + events.kind
        lost = noise.uniform(Stream.LOST_ID, session, step) < self._options.lost_id_share
        searched = noise.uniform(Stream.SEARCH, session) < SEARCH_SHARE
        frame = described(events, tastes.visits, tastes.world.shoppers, catalogue, tastes.options)
        credited = frame.with_columns(
            search_queries(events, catalogue, searched).alias(c.SEARCH_QUERY),
            pl.Series(c.QUANTITY, pieces_bought(events, catalogue, noise)),
            pl.Series("lost", lost),
        ).join(
            clicks.select(c.SESSION_ID, c.PRODUCT_ID, c.RECOMMENDATION_ID),
            on=[c.SESSION_ID, c.PRODUCT_ID],
            how="left",
            maintain_order="left",
        )
        found = pl.col(c.RECOMMENDATION_ID).is_not_null()
        event_id = pl.concat_str(c.SESSION_ID, c.PRODUCT_ID, c.EVENT_TYPE, separator="-")
        return credited.select(
            event_id.alias(c.EVENT_ID),
            *frame.columns,
            pl.when(~found).then(c.SEARCH_QUERY),
            c.QUANTITY,
            pl.when(~pl.col("lost")).then(c.RECOMMENDATION_ID),
        )


def sessions_between(tastes: Tastes, start: datetime, end: datetime, seed: int) -> Sessions:
    """The visits that begin from ``start`` until before ``end``, and what each looks at anyway."""
    visits, rng = tastes.visits, np.random.default_rng(seed)
    first, last = np.searchsorted(visits.start_second, list(map(tastes.seconds, (start, end))))
    session = np.arange(first, last)
    user, second = visits.user[session], visits.start_second[session]
    week = second // WEEK_SECONDS  # ascending, as visits are sorted by start
    drawn = [
        draw_considered(user[week == each], int(each), tastes.world, rng)
        for each in np.unique(week)
    ]
    drawn_SN = np.concatenate([np.empty((0, DRAWN_PRODUCTS), np.int32), *drawn])
    return Sessions(session, user, second, week, drawn_SN, draw_browsed(len(session), rng))


def remember(bought: SessionEvents, visits: Visits, memory: PurchaseMemory) -> None:
    """Remember purchases as of the start of their visits."""
    day = visits.start_second[bought.session] / SECONDS_PER_DAY
    memory.remember(visits.user[bought.session], bought.product, day)


def pieces_bought(events: SessionEvents, catalogue: Catalogue, noise: Noise) -> NDArray[np.float64]:
    """(N,) the quantity of each event."""
    drawn = noise.uniform(Stream.PIECES, events.session, events.product)
    pieces = 1 + np.floor(np.log(drawn) / np.log(MORE_PIECES_SHARE)).astype(np.int64)  # geometric
    return quantities(events, catalogue, pieces)


def _events_of(sessions: Sessions, decisions: Decisions, noise: Noise) -> SessionEvents:
    """What the shoppers decided, with times: first the list from the top, then the others."""
    steps_SX3 = np.stack([decisions.viewed_SX, decisions.clicked_SX, decisions.wanted_SX], axis=2)
    row, column, kind = np.nonzero(steps_SX3)
    step = decisions.product_SX[row, column] * len(EventType) + kind
    pause_N = -MEAN_PAUSE * np.log(noise.uniform(Stream.PAUSE, sessions.session[row], step))
    hesitation_S = noise.uniform(Stream.CHECKOUT_PAUSE, sessions.session)
    pay_S = SOONEST_CHECKOUT + (LATEST_CHECKOUT - SOONEST_CHECKOUT) * hesitation_S
    return timeline(
        sessions.session,
        sessions.start_second,
        decisions.product_SX,
        steps_SX3,
        decisions.bought_SX,
        pause_N,
        pay_S.astype(np.int64),
    )


def _returned(bought: SessionEvents, share: float, noise: Noise) -> SessionEvents:
    back = bought.where(noise.uniform(Stream.RETURN, bought.session, bought.product) < share)
    first, last = RETURN_DAYS
    waited = noise.uniform(Stream.RETURN_WAIT, back.session, back.product)
    return sent_back(back, first + (last - first) * waited)


def _known(vocabulary: Vocabulary, ids: pl.Series, table: str) -> NDArray[np.int64]:
    """(N,) the index of each id.

    Raises:
        ValueError: if one is unknown; it names the table, the column and the first.
    """
    found = vocabulary.encode(ids)
    unknown = np.flatnonzero(found < 0)
    if len(unknown):
        msg = (
            f"{table}: {len(unknown)} rows have a {ids.name} that is not there "
            f"(first: row {unknown[0]}, {ids[int(unknown[0])]!r})"
        )
        raise ValueError(msg)
    return found
