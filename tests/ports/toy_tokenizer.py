"""A tokenizer that owes transformers nothing: one token a character, a chat template of its own, jinja to write it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jinja2 import Environment

TEMPLATE = (
    "{%- for message in messages %}{{- '<' + message.role + '>' + message.content + '<end>' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<assistant>' }}{%- endif %}"
)


@dataclass(frozen=True)
class Added:
    content: str
    special: bool = True


class CharacterTokenizer:
    """Tokens are what turns begin and end with, then the characters of ASCII."""

    chat_template = TEMPLATE
    bos_token = pad_token = unk_token = None
    bos_token_id = None
    eos_token, eos_token_id = "<end>", 3

    def __init__(self) -> None:
        self._texts = ["<system>", "<user>", "<assistant>", "<end>", *map(chr, range(128))]
        self._ids = {text: number for number, text in enumerate(self._texts)}
        self.all_special_tokens, self.all_special_ids = self._texts[:4], [0, 1, 2, 3]
        self.added_tokens_decoder = {number: Added(text) for number, text in enumerate(self._texts[:4])}
        self.added_tokens_encoder = {text: number for number, text in enumerate(self._texts[:4])}

    def get_vocab(self) -> dict[str, int]:
        return dict(self._ids)

    def __call__(self, text: Any, *, add_special_tokens: bool = True, verbose: bool = True) -> dict[str, Any]:
        return {"input_ids": self._encode(text) if isinstance(text, str) else [self._encode(part) for part in text]}

    def _encode(self, text: str) -> list[int]:
        ids = []
        while text:
            special = next((token for token in self.all_special_tokens if text.startswith(token)), text[0])
            ids.append(self._ids[special])
            text = text[len(special) :]
        return ids

    def decode(
        self, token_ids: Any, *, skip_special_tokens: bool = False, clean_up_tokenization_spaces: bool | None = None
    ) -> str:
        return "".join(self._texts[number] for number in token_ids if number > 3 or not skip_special_tokens)

    def convert_tokens_to_ids(self, tokens: Any) -> Any:
        return self._ids[tokens] if isinstance(tokens, str) else [self._ids[token] for token in tokens]

    def convert_ids_to_tokens(self, ids: Any) -> Any:
        return self._texts[ids] if isinstance(ids, int) else [self._texts[number] for number in ids]

    def apply_chat_template(self, conversation: Any, **variables: Any) -> str:
        template = Environment().from_string(variables.pop("chat_template"))
        return template.render(messages=conversation, eos_token=self.eos_token, **variables)
