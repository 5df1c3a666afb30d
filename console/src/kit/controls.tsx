// Buttons and form fields.

import type { ComponentChildren } from "preact";
import { useId, useState } from "preact/hooks";

import { may, session, type Role } from "../app/session";
import { t } from "../lang";
import { Icon, type IconName } from "./icons";

export interface ButtonProps {
  children?: ComponentChildren;
  icon?: IconName;
  kind?: "primary" | "danger" | "plain";
  small?: boolean;
  busy?: boolean;
  /** Smallest role that may do it; the button explains itself to others. */
  need?: Role;
  disabled?: boolean;
  /** Reason of `disabled`, for the tooltip. */
  reason?: string;
  label?: string;
  type?: "button" | "submit";
  pressed?: boolean;
  onClick?: (event: MouseEvent) => void;
}

export function Button({ children, icon, kind, small, busy, need, disabled, reason, label, type = "button", pressed, onClick }: ButtonProps) {
  const isRefused = need !== undefined && !may(need);
  const why = isRefused ? t("role.needs", { need: t(`role.${need}`), own: t(`role.${session.value?.role ?? "viewer"}`) }) : disabled ? reason : undefined;
  const isOff = isRefused || disabled || busy;
  const names = ["button", kind, small ? "small" : "", icon && !children ? "icon" : ""].filter(Boolean).join(" ");
  return (
    <button
      type={type}
      class={names}
      aria-disabled={isOff ? "true" : undefined}
      aria-busy={busy}
      aria-label={label}
      aria-pressed={pressed}
      title={(why ?? (children ? undefined : label)) || undefined}
      onClick={(event) => {
        if (isOff) event.preventDefault();
        else onClick?.(event);
      }}
    >
      {icon && <Icon name={icon} />}
      {children}
    </button>
  );
}

interface FieldProps {
  label: string;
  hint?: ComponentChildren;
  error?: string;
  wide?: boolean;
}

function describe(id: string, hint: ComponentChildren, error: string | undefined): string | undefined {
  return [hint ? `${id}-hint` : "", error ? `${id}-error` : ""].filter(Boolean).join(" ") || undefined;
}

function Frame({ id, label, hint, error, wide, children }: FieldProps & { id: string; children: ComponentChildren }) {
  return (
    <div class={wide ? "field wide" : "field"}>
      <label for={id}>{label}</label>
      {children}
      {hint && <p class="hint" id={`${id}-hint`}>{hint}</p>}
      {error && <p class="problem small" id={`${id}-error`} role="alert">{error}</p>}
    </div>
  );
}

export interface TextProps extends FieldProps {
  value: string;
  onInput: (value: string) => void;
  onBlur?: () => void;
  placeholder?: string;
  type?: "text" | "password" | "number" | "search" | "datetime-local" | "url";
  min?: number;
  max?: number;
  step?: number | "any";
  list?: string[];
  mono?: boolean;
  rows?: number;
  name?: string;
  focus?: boolean;
}

export function TextField({ label, hint, error, wide, value, onInput, onBlur, placeholder, type = "text", min, max, step, list, mono, rows, name, focus }: TextProps) {
  const id = useId();
  const shared = {
    id,
    name,
    placeholder,
    "aria-invalid": error ? true : undefined,
    "aria-describedby": describe(id, hint, error),
    class: mono ? "mono" : undefined,
    spellcheck: false,
    onBlur,
    autofocus: focus,
  };
  return (
    <Frame id={id} label={label} hint={hint} error={error} wide={wide}>
      {rows ? (
        <textarea {...shared} rows={rows} value={value} onInput={(event) => onInput(event.currentTarget.value)} />
      ) : (
        // The types of inputs are a union of shapes; this component is all of them.
        <input {...shared} type={type as "text"} min={min} max={max} step={step} list={list ? `${id}-list` : undefined} autocomplete="off" value={value} onInput={(event) => onInput(event.currentTarget.value)} />
      )}
      {list && <datalist id={`${id}-list`}>{list.map((one) => <option key={one} value={one} />)}</datalist>}
    </Frame>
  );
}

export interface Choice {
  value: string;
  label: string;
}

export function SelectField({ label, hint, error, wide, value, onChange, choices }: FieldProps & { value: string; onChange: (value: string) => void; choices: Choice[] }) {
  const id = useId();
  return (
    <Frame id={id} label={label} hint={hint} error={error} wide={wide}>
      <select id={id} value={value} aria-invalid={error ? true : undefined} aria-describedby={describe(id, hint, error)} onChange={(event) => onChange(event.currentTarget.value)}>
        {choices.map((choice) => <option key={choice.value} value={choice.value}>{choice.label}</option>)}
      </select>
    </Frame>
  );
}

export function Check({ label, checked, onChange }: { label: ComponentChildren; checked: boolean; onChange: (checked: boolean) => void }) {
  return (
    <label class="check">
      <input type="checkbox" checked={checked} onChange={(event) => onChange(event.currentTarget.checked)} />
      <span>{label}</span>
    </label>
  );
}

/** Group of check boxes over a list of names. */
export function CheckList({ label, hint, choices, value, onChange }: { label: string; hint?: string; choices: Choice[]; value: string[]; onChange: (value: string[]) => void }) {
  return (
    <fieldset class="field wide">
      <legend class="legend">{label}</legend>
      <div class="row">
        {choices.map((choice) => (
          <Check key={choice.value} label={choice.label} checked={value.includes(choice.value)} onChange={(isOn) => onChange(isOn ? [...value, choice.value] : value.filter((one) => one !== choice.value))} />
        ))}
      </div>
      {hint && <p class="hint">{hint}</p>}
    </fieldset>
  );
}

/** One of few, as a row of pressed buttons. */
export function Segments<T extends string>({ label, choices, value, onChange }: { label: string; choices: { value: T; label: string }[]; value: T; onChange: (value: T) => void }) {
  return (
    <div class="segments" role="group" aria-label={label}>
      {choices.map((choice) => (
        <button key={choice.value} type="button" aria-pressed={choice.value === value} onClick={() => onChange(choice.value)}>{choice.label}</button>
      ))}
    </div>
  );
}

export function Copy({ text, label, secret }: { text: string; label?: string; secret?: boolean }) {
  const [isDone, setDone] = useState(false);
  async function copy(): Promise<void> {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // Without the permission, or over plain HTTP, a selection is copied the old way.
      const area = document.createElement("textarea");
      area.value = text;
      (document.querySelector("dialog[open] .content") ?? document.body).append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    setDone(true);
    setTimeout(() => setDone(false), 1600);
  }
  return (
    <Button small={!secret} icon={isDone ? "check" : "copy"} onClick={() => void copy()}>
      <span aria-live="polite">{isDone ? t("action.copied") : (label ?? t("action.copy"))}</span>
    </Button>
  );
}
