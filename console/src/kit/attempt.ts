// A call that a person starts with a button: whether it runs, and why the last one failed.

import { useState } from "preact/hooks";

import { ApiError } from "../data/client";

export function useAttempt(): { error: ApiError | null; busy: boolean; attempt: (action: () => Promise<void>) => Promise<void> } {
  const [error, setError] = useState<ApiError | null>(null);
  const [busy, setBusy] = useState(false);
  async function attempt(action: () => Promise<void>): Promise<void> {
    setBusy(true);
    setError(null);
    try {
      await action();
    } catch (failure) {
      setError(ApiError.of(failure));
    }
    setBusy(false);
  }
  return { error, busy, attempt };
}
