"""What rendering needs of a tokenizer: any object that has this will do. Those of transformers have it as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import tokenizers


class AddedToken(Protocol):
    """A token that stands for one text, whatever surrounds it."""

    @property
    def content(self) -> str:
        """The text."""
        ...

    @property
    def special(self) -> bool:
        """Whether it is a control token rather than a word."""
        ...


@runtime_checkable
class Tokenizer(Protocol):
    """Text to token ids and back, with the tokens that give a conversation its form and a chat template in jinja.

    Names and meanings are those of transformers' ``PreTrainedTokenizerBase``. Two attributes are used where they are there:
    ``backend_tokenizer``, a ``tokenizers.Tokenizer``, lets rendering work on a copy that no other thread meets, and find
    control tokens that only its normaliser makes out of a text.
    """

    @property
    def chat_template(self) -> Any:
        """A jinja text, several by name, or None."""
        ...

    @property
    def bos_token(self) -> str | None:
        """The token that begins a text, None where there is none; likewise the next three."""
        ...

    @property
    def eos_token(self) -> str | None: ...

    @property
    def pad_token(self) -> str | None: ...

    @property
    def unk_token(self) -> str | None: ...

    @property
    def bos_token_id(self) -> int | None:
        """Its id; likewise the next one."""
        ...

    @property
    def eos_token_id(self) -> int | None: ...

    @property
    def all_special_tokens(self) -> Sequence[str]:
        """Texts of the tokens that are marked as special."""
        ...

    @property
    def all_special_ids(self) -> Sequence[int]:
        """Their ids."""
        ...

    @property
    def added_tokens_decoder(self) -> Mapping[int, AddedToken]:
        """The tokens that stand outside of the learned vocabulary, by id."""
        ...

    @property
    def added_tokens_encoder(self) -> Mapping[str, int]:
        """Their ids by text."""
        ...

    def get_vocab(self) -> Mapping[str, int]:
        """Return every token with its id."""
        ...

    def __call__(self, text: Any, *, add_special_tokens: bool = True, verbose: bool = True) -> Mapping[str, Any]:
        """Return ``input_ids`` of a text, or a list of them of a list of texts."""
        ...

    def decode(
        self, token_ids: Any, *, skip_special_tokens: bool = False, clean_up_tokenization_spaces: bool | None = None
    ) -> Any:
        """Return the text of ids."""
        ...

    def convert_tokens_to_ids(self, tokens: Any) -> Any:
        """Return the id of a token, or a list of them of a list of tokens."""
        ...

    def convert_ids_to_tokens(self, ids: Any) -> Any:
        """Return the token of an id, or a list of them of a list of ids."""
        ...

    def apply_chat_template(self, conversation: Any, **variables: Any) -> Any:
        """Return a conversation as text.

        The variables are ``tools`` (schemas or None), ``chat_template``, ``add_generation_prompt``, ``tokenize=False``, and
        what the template is told beside them. It raises what the template raises.
        """
        ...


def backend_of(tokenizer: Tokenizer) -> tokenizers.Tokenizer | None:
    """Return the tokenizer of the ``tokenizers`` package that one is built on; None where it is written otherwise."""
    return getattr(tokenizer, "backend_tokenizer", None)
