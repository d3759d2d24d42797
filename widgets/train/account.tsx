/** Signing in to the hub, for models that ask who downloads them. */
import { useState } from "preact/hooks";
import { Button, Field } from "../lib/controls";
import { useCommand, usePanel } from "../lib/model";

export interface AccountState {
  signed_in: boolean;
  /** The variable or the file that the token is from. */
  source: string;
}

export function Account({ account, offline }: { account: AccountState; offline: string }) {
  const { model } = usePanel();
  const [token, setToken] = useState("");
  const [send, waiting] = useCommand();
  const signIn = () => {
    // A message of its own: what goes through a trait, as commands do, is saved with the notebook.
    model.send({ kind: "sign_in", token });
    setToken("");
  };
  return account.signed_in ? (
    <p class="snb-row">
      <span>Signed in to the hub, with the token of {account.source}.</span>
      {account.source === "the hub's own file" && (
        <Button small disabled={waiting !== null} onClick={() => send("sign_out")}>
          Sign out of the hub
        </Button>
      )}
    </p>
  ) : (
    <form
      aria-label="Sign in to the hub"
      onSubmit={(event) => {
        event.preventDefault();
        if (token.trim()) signIn();
      }}
    >
      <Field
        label="Token of the hub, for models that are asked for there"
        help={offline || "It is kept in the hub client's own file, not in the notebook."}
      >
        {(ids) => (
          <div class="snb-row">
            <input
              {...ids}
              class="snb-input"
              type="password"
              autocomplete="off"
              value={token}
              disabled={offline !== ""}
              onInput={(event) => setToken(event.currentTarget.value)}
            />
            <Button small type="submit" disabled={offline !== "" || !token.trim()}>
              Sign in
            </Button>
          </div>
        )}
      </Field>
    </form>
  );
}
