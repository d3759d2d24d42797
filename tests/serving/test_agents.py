"""Two agent frameworks against the front, on a model that is made to call a tool: the whole way there and back."""

from __future__ import annotations

from typing import Any

import pytest

from tests.waiting import run_async

pytest.importorskip("agents", reason="openai-agents is not installed")


def answers_of(server: Any) -> list[int]:
    return [line["status"] for line in server.log if line["route"] in ("/chat/completions", "/responses")]


def test_openais_agents_sdk_calls_a_tool_and_goes_on(server: Any) -> None:
    import agents
    from agents import Agent, ModelSettings, OpenAIChatCompletionsModel, OpenAIResponsesModel, Runner, function_tool
    from openai import AsyncOpenAI

    agents.set_tracing_disabled(True)
    called: list[bool] = []

    @function_tool
    def look(again: bool) -> str:
        """Look into a box."""
        called.append(again)
        return "a parcel"

    async def run(kind: Any) -> Any:
        async with AsyncOpenAI(base_url=server.url, api_key=server.token, max_retries=0) as client:
            made = kind(model="tiny", openai_client=client)
            settings = ModelSettings(tool_choice="required", max_tokens=120, extra_body={"seed": 3})
            # A model that knows nothing comes to no end by itself, which this framework takes for an error of a response.
            behaviour: Any = "run_llm_again" if kind is OpenAIChatCompletionsModel else "stop_on_first_tool"
            agent = Agent(
                name="helper", instructions="Be brief.", model=made, tools=[look], model_settings=settings,
                tool_use_behavior=behaviour,
            )  # fmt: skip
            return await Runner.run(agent, "What is in the box?", max_turns=3)

    for kind in (OpenAIChatCompletionsModel, OpenAIResponsesModel):
        before = len(called)
        result = run_async(run(kind))
        assert len(called) == before + 1 and isinstance(called[-1], bool)
        assert result.final_output is not None
    assert set(answers_of(server)) == {200}


def test_pydantic_ai_gets_an_instance_of_its_type(server: Any) -> None:
    pydantic_ai = pytest.importorskip("pydantic_ai")
    from pydantic import BaseModel
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    class Ticket(BaseModel):
        urgent: bool
        level: int

    async def run() -> Any:
        made = OpenAIChatModel("tiny", provider=OpenAIProvider(base_url=server.url, api_key=server.token))
        agent = pydantic_ai.Agent(made, output_type=Ticket, retries=0, model_settings={"max_tokens": 200, "seed": 5})
        return (await agent.run("I paid twice!")).output

    assert isinstance(run_async(run()), Ticket)
    assert set(answers_of(server)) == {200}
