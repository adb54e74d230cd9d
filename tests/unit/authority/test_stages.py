"""Stages: who comes in the same turn of the loop goes on together."""

from __future__ import annotations

import asyncio

from mintmark.authority.workflow.stages import Stage


async def _walk(stages: list[Stage], name: str, seen: list[str]) -> None:
    for step, stage in enumerate(stages):
        await stage
        seen.append(f"{name}{step}")


def test_requests_of_one_turn_take_each_step_together_and_in_order() -> None:
    seen: list[str] = []

    async def main() -> None:
        stages = [Stage(), Stage()]
        await asyncio.gather(*(_walk(stages, name, seen) for name in "abc"))

    asyncio.run(main())
    assert seen == ["a0", "b0", "c0", "a1", "b1", "c1"]


def test_who_comes_later_forms_a_batch_of_its_own() -> None:
    seen: list[str] = []

    async def main() -> None:
        stage = Stage()
        first = asyncio.create_task(_walk([stage], "a", seen))
        await first
        await asyncio.gather(*(_walk([stage], name, seen) for name in "bc"))

    asyncio.run(main())
    assert seen == ["a0", "b0", "c0"]


def test_who_is_given_up_at_a_stage_holds_nobody_up() -> None:
    seen: list[str] = []

    async def main() -> None:
        stage = Stage()
        tasks = [asyncio.create_task(_walk([stage], name, seen)) for name in "abc"]
        await asyncio.sleep(0)
        tasks[1].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(main())
    assert seen == ["a0", "c0"]


def test_an_error_of_one_request_stays_its_own() -> None:
    seen: list[str] = []

    async def main() -> list[object]:
        stages = [Stage(), Stage()]

        async def fails() -> None:
            await stages[0]
            raise ValueError("refused")

        return await asyncio.gather(fails(), _walk(stages, "a", seen), return_exceptions=True)

    refused, _ = asyncio.run(main())
    assert isinstance(refused, ValueError)
    assert seen == ["a0", "a1"]


def test_a_stage_whose_loop_ended_while_somebody_waited_serves_the_next_loop() -> None:
    seen: list[str] = []
    stage = Stage()
    loop = asyncio.new_event_loop()
    abandoned = _walk([stage], "a", seen)
    loop.call_soon(abandoned.send, None)
    loop.call_soon(loop.stop)
    loop.run_forever()  # it has come to the stage, and the loop ends with that turn
    loop.close()
    abandoned.close()
    asyncio.run(_walk([stage], "b", seen))
    assert seen == ["b0"]
