/** What is wrong with what was typed. Asked before anything is sent: what reaches the kernel may be saved in a notebook. */

/** A base URL without password, query or fragment; empty is fine where a model answers. */
export function urlProblem(url: string): string | undefined {
  if (url === "") {
    return undefined;
  }
  if (!/^https?:\/\/[^/\s]/i.test(url)) {
    return "Begin with http:// or https://, for example https://api.openai.com/v1";
  }
  if (/^https?:\/\/[^/]*@/i.test(url)) {
    return "Leave the password out: the key comes from an environment variable.";
  }
  return /[?#\s]/.test(url) ? "Give the base URL alone, without ? or #." : undefined;
}

/** The name of an environment variable; a key that was pasted here is not one. */
export function variableProblem(name: string): string | undefined {
  return name === "" || /^[A-Z_][A-Z0-9_]*$/.test(name)
    ? undefined
    : "Name a variable, such as OPENAI_API_KEY. Never put a key here.";
}
