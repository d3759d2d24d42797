/** The card of a command that the kernel refused, until it is dismissed or another command succeeds. */
import { Button } from "./controls";
import { ErrorCard } from "./error-card";
import { useCommand, useError } from "./model";

export function CommandError() {
  const error = useError();
  const [send] = useCommand();
  if (error === null) {
    return null;
  }
  return (
    <ErrorCard
      error={error}
      actions={
        <Button small onClick={() => send("dismiss")}>
          Dismiss
        </Button>
      }
    />
  );
}
