// Dialogs on the native element: focus stays inside and returns to its origin.

import type { ComponentChildren } from "preact";
import { signal } from "@preact/signals";
import { useEffect, useId, useRef, useState } from "preact/hooks";

import { t } from "../lang";
import { Button } from "./controls";
import { Icon } from "./icons";

export function Dialog({ title, onClose, children, footer, kind, locked }: { title: ComponentChildren; onClose: () => void; children: ComponentChildren; footer?: ComponentChildren; kind?: "wide" | "drawer"; locked?: boolean }) {
  const element = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const dialog = element.current;
    const origin = document.activeElement as HTMLElement | null;
    dialog?.showModal();
    return () => {
      dialog?.close();
      if (origin?.isConnected) origin.focus();
    };
  }, []);
  return (
    <dialog
      ref={element}
      class={kind}
      aria-labelledby={id}
      onCancel={(event) => {
        event.preventDefault();
        if (!locked) onClose();
      }}
      onMouseDown={(event) => {
        if (event.target === element.current && kind === "drawer") onClose();
      }}
    >
      <div class="inner">
        <header>
          <h2 id={id} tabIndex={-1} autofocus={kind === "drawer"}>{title}</h2>
          {!locked && <Button kind="plain" icon="close" label={t("action.close")} onClick={onClose} />}
        </header>
        <div class="content">{children}</div>
        {footer && <footer>{footer}</footer>}
      </div>
    </dialog>
  );
}

/** Question before a change that cannot be undone; `typed` must be entered first. */
export function Confirm({ title, children, action, typed, onClose, onConfirm }: { title: string; children: ComponentChildren; action: string; typed?: string; onClose: () => void; onConfirm: () => Promise<void> }) {
  const [text, setText] = useState("");
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState("");
  const id = useId();
  async function confirm(): Promise<void> {
    setBusy(true);
    try {
      await onConfirm();
    } catch (error) {
      setProblem(error instanceof Error ? error.message : String(error));
    }
    setBusy(false);
  }
  return (
    <Dialog
      title={title}
      onClose={onClose}
      footer={
        <>
          <Button onClick={onClose}>{t("action.cancel")}</Button>
          <Button kind="danger" busy={busy} disabled={typed !== undefined && text !== typed} reason={t("confirm.type_first")} onClick={() => void confirm()}>{action}</Button>
        </>
      }
    >
      {children}
      {typed !== undefined && (
        <div class="field">
          <label for={id}>{t("confirm.type", { name: typed })}</label>
          <input id={id} class="mono" value={text} autocomplete="off" onInput={(event) => setText(event.currentTarget.value)} />
        </div>
      )}
      {problem && <p class="problem" role="alert">{problem}</p>}
    </Dialog>
  );
}

interface Toast {
  id: number;
  text: string;
  kind: "good" | "bad";
}

const toasts = signal<Toast[]>([]);
let nextToast = 1;

export function toast(text: string, kind: Toast["kind"] = "good"): void {
  const id = nextToast++;
  toasts.value = [...toasts.value.slice(-3), { id, text, kind }];
  setTimeout(() => (toasts.value = toasts.value.filter((one) => one.id !== id)), kind === "bad" ? 9000 : 5000);
}

export function Toasts() {
  return (
    <div class="toasts" role="status" aria-live="polite">
      {toasts.value.map((one) => (
        <div key={one.id} class={`toast ${one.kind}`}><Icon name={one.kind === "good" ? "check" : "warn"} />{one.text}</div>
      ))}
    </div>
  );
}
