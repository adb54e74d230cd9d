"""Stages: who comes in the same turn of the loop goes on together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from mintmark.authority.workflow.stages import MAX_TURNS, Entrance, Stage, Stages


async def _walk(stages: Sequence[Stage | Entrance], name: str, seen: list[str]) -> None:
    for step, stage in enumerate(stages):
        await stage
        seen.append(f"{name}{step}")


def test_requests_of_one_turn_take_each_step_together_and_in_order() -> None:
    seen: list[str] = []

    async def main() -> None:
        stages = [Stage(Entrance()), Stage(Entrance())]
        await asyncio.gather(*(_walk(stages, name, seen) for name in "abc"))

    asyncio.run(main())
    assert seen == ["a0", "b0", "c0", "a1", "b1", "c1"]


def test_who_comes_later_forms_a_batch_of_its_own() -> None:
    seen: list[str] = []

    async def main() -> None:
        stage = Stage(Entrance())
        first = asyncio.create_task(_walk([stage], "a", seen))
        await first
        await asyncio.gather(*(_walk([stage], name, seen) for name in "bc"))

    asyncio.run(main())
    assert seen == ["a0", "b0", "c0"]


def test_who_is_given_up_at_a_stage_holds_nobody_up() -> None:
    seen: list[str] = []

    async def main() -> None:
        stage = Stage(Entrance())
        tasks = [asyncio.create_task(_walk([stage], name, seen)) for name in "abc"]
        await asyncio.sleep(0)
        tasks[1].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(main())
    assert seen == ["a0", "c0"]


def test_an_error_of_one_request_stays_its_own() -> None:
    seen: list[str] = []

    async def main() -> list[object]:
        stages = [Stage(Entrance()), Stage(Entrance())]

        async def fails() -> None:
            await stages[0]
            raise ValueError("refused")

        return await asyncio.gather(fails(), _walk(stages, "a", seen), return_exceptions=True)

    refused, _ = asyncio.run(main())
    assert isinstance(refused, ValueError)
    assert seen == ["a0", "a1"]


def test_an_entrance_whose_loop_ended_while_somebody_waited_serves_the_next_loop() -> None:
    seen: list[str] = []
    stage = Entrance()
    loop = asyncio.new_event_loop()
    abandoned = _walk([stage], "a", seen)
    loop.call_soon(abandoned.send, None)
    loop.call_soon(loop.stop)
    loop.run_forever()  # it has come to the stage, and the loop ends with that turn
    loop.close()
    abandoned.close()
    asyncio.run(_walk([stage], "b", seen))
    assert seen == ["b0"]


def test_who_comes_while_others_come_goes_in_with_them() -> None:
    seen: list[str] = []

    async def main() -> None:
        entrance = Entrance()
        tasks = []
        for name in "abc":  # one in a turn
            tasks.append(asyncio.create_task(_walk([entrance], name, seen)))
            await asyncio.sleep(0)
            assert not seen
        await asyncio.gather(*tasks)

    asyncio.run(main())
    assert seen == ["a0", "b0", "c0"]


def test_who_comes_while_others_are_on_the_way_waits_for_who_is_answered_and_comes_again() -> None:
    seen: list[str] = []

    async def main() -> None:
        stages = Stages()
        way = [stages.read, stages.verify, stages.decide, stages.sign]

        async def asks_twice() -> None:
            await _walk(way, "a", seen)
            await asyncio.sleep(0)  # it is answered
            await _walk(way, "c", seen)

        first = asyncio.create_task(asks_twice())
        while seen != ["a0", "a1"]:  # noqa: ASYNC110 - turns of the loop are what is counted
            await asyncio.sleep(0)
        await asyncio.gather(first, _walk(way, "b", seen))

    asyncio.run(main())
    assert seen == [*("a0", "a1", "a2", "a3"), *("b0", "c0", "b1", "c1", "b2", "c2", "b3", "c3")]


@pytest.mark.parametrize("moves", [0, 1])
def test_nobody_waits_at_the_entrance_for_ever(moves: int) -> None:
    turns = 0

    async def main() -> None:
        nonlocal turns
        entrance = Entrance()
        first = asyncio.create_task(_walk([entrance], "a", []))
        others = []
        while not first.done():
            others.append(asyncio.create_task(_walk([entrance], "b", [])))
            entrance.moves += moves
            turns += 1
            await asyncio.sleep(0)
        await asyncio.gather(*others)

    asyncio.run(main())
    assert MAX_TURNS <= turns <= MAX_TURNS + 3


def test_who_comes_alone_waits_for_a_few_turns_only() -> None:
    async def main() -> int:
        entrance = Entrance()
        alone = asyncio.create_task(_walk([entrance], "a", []))
        turns = 0
        while not alone.done():
            turns += 1
            await asyncio.sleep(0)
        return turns

    assert asyncio.run(main()) <= 5


def test_who_is_given_up_at_the_entrance_holds_nobody_up() -> None:
    seen: list[str] = []

    async def main() -> None:
        entrance = Entrance()
        tasks = [asyncio.create_task(_walk([entrance], name, seen)) for name in "abc"]
        await asyncio.sleep(0)
        tasks[1].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(main())
    assert seen == ["a0", "c0"]
