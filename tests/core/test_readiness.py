from __future__ import annotations

import asyncio

import pytest

from palaver_server.core.readiness import NotReady, Readiness


def test_it_is_ready_when_no_reason_stands_against_it() -> None:
    readiness = Readiness(NotReady.LOADING)
    assert not readiness.is_ready
    readiness.add(NotReady.DRAINING)
    readiness.remove(NotReady.LOADING)
    assert (readiness.is_ready, repr(readiness)) == (False, "Readiness(draining)")
    assert NotReady.DRAINING in readiness
    assert NotReady.LOADING not in readiness
    readiness.remove(NotReady.DRAINING)
    assert (readiness.is_ready, repr(readiness)) == (True, "Readiness(ready)")


@pytest.mark.parametrize("reason", NotReady)
def test_calls_are_taken_without_a_reason_against_it_or_while_balancers_are_told_to_leave(reason: NotReady) -> None:
    assert Readiness().is_accepting
    assert Readiness(reason).is_accepting == (reason is NotReady.LEAVING)
    assert not Readiness(NotReady.LEAVING, NotReady.DRAINING).is_accepting


async def test_everybody_who_waits_hears_of_a_change() -> None:
    readiness = Readiness(NotReady.LOADING)
    waiting = [asyncio.create_task(readiness.changed()) for _ in range(3)]
    await asyncio.sleep(0)
    readiness.remove(NotReady.LOADING)
    await asyncio.gather(*waiting)


async def test_what_changes_nothing_wakes_nobody() -> None:
    readiness = Readiness(NotReady.LOADING)
    waiting = asyncio.create_task(readiness.changed())
    await asyncio.sleep(0)
    readiness.add(NotReady.LOADING)
    readiness.remove(NotReady.DRAINING)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(waiting, 1)
