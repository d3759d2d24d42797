"""Code that asks a server, to be copied."""

from __future__ import annotations

from shadownb.errors import ConfigError, did_you_mean

_ASK = "Where is my parcel?"

_CODE = {
    "openai": """from openai import OpenAI

client = OpenAI(base_url="{root}/v1", api_key="{token}")
answer = client.chat.completions.create(model="{model}", messages=[{{"role": "user", "content": "{ask}"}}])
print(answer.choices[0].message.content)
""",
    "anthropic": """from anthropic import Anthropic

client = Anthropic(base_url="{root}", api_key="{token}")
answer = client.messages.create(model="{model}", max_tokens=256, messages=[{{"role": "user", "content": "{ask}"}}])
print(answer.content[0].text)
""",
    "curl": """curl {root}/v1/chat/completions \\
  -H "Authorization: Bearer {token}" -H "Content-Type: application/json" \\
  -d '{{"model": "{model}", "messages": [{{"role": "user", "content": "{ask}"}}]}}'
""",
    "agents": """from agents import Agent, AsyncOpenAI, OpenAIChatCompletionsModel, Runner

client = AsyncOpenAI(base_url="{root}/v1", api_key="{token}")
agent = Agent(name="helper", model=OpenAIChatCompletionsModel(model="{model}", openai_client=client))
print(Runner.run_sync(agent, "{ask}").final_output)
""",
    "env": """export OPENAI_BASE_URL={root}/v1
export OPENAI_API_KEY={token}
export ANTHROPIC_BASE_URL={root}
export ANTHROPIC_API_KEY={token}
""",
}
CLIENTS = tuple(_CODE)


def snippet(client: str, root: str, token: str, model: str) -> str:
    """Return code for a client. Raises :class:`ConfigError` for one that is not known."""
    if client not in _CODE:
        raise ConfigError(
            f"There is no snippet for {client!r}.{did_you_mean(client, CLIENTS)}",
            fix=f"There are {', '.join(CLIENTS)}.",
        )
    return _CODE[client].format(root=root, token=token, model=model, ask=_ASK)
