// Forms, described by their fields. What was typed stays when the server refuses; its reason stands
// at the field it names.

import type { ComponentChildren } from 'preact';
import { useId, useState } from 'preact/hooks';
import { typed } from '../lib/json.ts';

export type Values = Record<string, string>;

export interface Field {
  name: string;
  label: string;
  kind?: 'text' | 'number' | 'password' | 'select' | 'check' | 'choices' | 'area' | 'arguments' | 'file' | 'time';
  options?: (string | { value: string; title: string })[];
  help?: ComponentChildren;
  isRequired?: boolean;
  placeholder?: string;
  value?: string;
  /** Shown only when this holds of the other fields. */
  when?: (values: Values) => boolean;
  /** Names to choose from in a field of kind `arguments`, with what they are for. */
  known?: KnownName[];
  /** Names offered while typing. */
  suggest?: string[];
}

export interface KnownName {
  name: string;
  type: string;
  help?: string;
  /** All it may be, where these are few. */
  values?: string[];
}

interface Props {
  fields: Field[];
  /** `Add queue` */
  button: string;
  /** What is read stays in the form when it throws. */
  submit: (values: Values) => Promise<void>;
  onCancel?: () => void;
  /** Below the fields, such as a preview of what would happen. */
  children?: (values: Values) => ComponentChildren;
  /** Clears the fields after it was sent. */
  isCleared?: boolean;
}

/** A form. */
export function Form({ fields, button, submit, onCancel, children, isCleared }: Props) {
  const first = () => Object.fromEntries(fields.map((field) => [field.name, field.value ?? firstOption(field)]));
  const [values, setValues] = useState<Values>(first);
  const [failure, setFailure] = useState('');
  const [isBusy, setBusy] = useState(false);
  const shown = fields.filter((field) => field.when?.(values) ?? true);
  const named = shown.find((field) => failure && new RegExp(`\\b${field.name.replace(/[^a-z0-9_-]/gi, '')}\\b`, 'i').test(failure));
  const onSubmit = async (event: Event) => {
    event.preventDefault();
    if (isBusy) return;
    setBusy(true);
    setFailure('');
    try {
      await submit(Object.fromEntries(shown.map((field) => [field.name, values[field.name] ?? ''])));
      if (isCleared) setValues(first());
    } catch (error) {
      setFailure(error instanceof Error ? error.message : String(error));
    } finally {
      setBusy(false);
    }
  };
  return (
    <form class="form" onSubmit={onSubmit}>
      {shown.map((field) => (
        <Entry key={field.name} field={field} value={values[field.name] ?? ''} failure={field === named ? failure : ''}
          onInput={(value) => setValues((before) => ({ ...before, [field.name]: value }))} />
      ))}
      {children?.(values)}
      {failure && !named && <p class="failure" role="alert">{failure}</p>}
      <div class="buttons">
        {onCancel && <button type="button" onClick={onCancel}>Cancel</button>}
        <button type="submit" class="primary" disabled={isBusy}>{button}</button>
      </div>
    </form>
  );
}

function firstOption(field: Field): string {
  const option = field.kind === 'select' ? field.options?.[0] : undefined;
  return typeof option === 'object' ? option.value : (option ?? '');
}

function Entry({ field, value, failure, onInput }: { field: Field; value: string; failure: string; onInput: (value: string) => void }) {
  const id = useId();
  const described = [field.help ? `${id}-help` : '', failure ? `${id}-failure` : ''].filter(Boolean).join(' ') || undefined;
  const common = { id, name: field.name, 'aria-describedby': described, 'aria-invalid': failure ? true : undefined, required: field.isRequired };
  const below = (
    <>
      {field.help && <p class="help" id={`${id}-help`}>{field.help}</p>}
      {failure && <p class="failure" role="alert" id={`${id}-failure`}>{failure}</p>}
    </>
  );
  if (field.kind === 'check') {
    return (
      <div class="field">
        <label class="check">
          <input {...common} required={undefined} type="checkbox" checked={value === 'true'} onChange={(event) => onInput(String(event.currentTarget.checked))} />
          {field.label}
        </label>
        {below}
      </div>
    );
  }
  if (field.kind === 'choices') {
    const chosen = value.split(',').filter(Boolean);
    const choose = (option: string, isOn: boolean) => onInput([...chosen.filter((each) => each !== option), ...(isOn ? [option] : [])].join());
    return (
      <fieldset class="field">
        <legend>{field.label}</legend>
        <div class="choices">
          {field.options?.map((option) => {
            const { value: each, title } = typeof option === 'object' ? option : { value: option, title: option };
            return (
              <label key={each} class="check">
                <input type="checkbox" name={`${field.name} ${each}`} checked={chosen.includes(each)} onChange={(event) => choose(each, event.currentTarget.checked)} />
                {title}
              </label>
            );
          })}
        </div>
        {below}
      </fieldset>
    );
  }
  if (field.kind === 'arguments') {
    return (
      <fieldset class="field">
        <legend>{field.label}</legend>
        <ArgumentRows known={field.known ?? []} value={value} onInput={onInput} />
        {below}
      </fieldset>
    );
  }
  return (
    <div class="field">
      <label for={id}>{field.label}{field.isRequired && <span class="muted"> (needed)</span>}</label>
      {field.kind === 'select' ? (
        <select {...common} value={value} onChange={(event) => onInput(event.currentTarget.value)}>
          {field.options?.map((option) => {
            const { value: each, title } = typeof option === 'object' ? option : { value: option, title: option };
            return <option key={each} value={each}>{title}</option>;
          })}
        </select>
      ) : field.kind === 'area' ? (
        <textarea {...common} rows={5} value={value} placeholder={field.placeholder} spellcheck={false} onInput={(event) => onInput(event.currentTarget.value)} />
      ) : field.kind === 'file' ? (
        <input {...common} type="file" accept=".json,application/json" onChange={(event) => {
          void event.currentTarget.files?.[0]?.text().then(onInput);
        }} />
      ) : field.kind === 'password' ? (
        <input {...common} type="password" value={value} autocomplete="new-password" onInput={(event) => onInput(event.currentTarget.value)} />
      ) : field.kind === 'time' ? (
        <input {...common} type="datetime-local" step={1} value={value} onInput={(event) => onInput(event.currentTarget.value)} />
      ) : field.suggest ? (
        <input {...common} type="text" list={`${id}-list`} value={value} placeholder={field.placeholder} autocomplete="off" spellcheck={false}
          onInput={(event) => onInput(event.currentTarget.value)} />
      ) : (
        <input {...common} type="text" value={value} placeholder={field.placeholder} inputmode={field.kind === 'number' ? 'decimal' : undefined}
          autocomplete="off" spellcheck={false} onInput={(event) => onInput(event.currentTarget.value)} />
      )}
      {field.suggest && <datalist id={`${id}-list`}>{field.suggest.map((each) => <option key={each} value={each} />)}</datalist>}
      {below}
    </div>
  );
}

interface ArgumentRow {
  name: string;
  type: string;
  text: string;
}

/** Names and values: the types are those of JSON; a new row appears when the last is begun. */
function ArgumentRows({ known, value, onInput }: { known: KnownName[]; value: string; onInput: (value: string) => void }) {
  const id = useId();
  const rows = readRows(value);
  const withBlank = [...rows, { name: '', type: 'string', text: '' }];
  const change = (at: number, part: Partial<ArgumentRow>) => {
    const of = part.name === undefined ? undefined : known.find((each) => each.name === part.name);
    const next = withBlank.map((row, index) => (index === at ? { ...row, ...part, ...(of ? { type: jsonType(of.type) } : {}) } : row));
    onInput(JSON.stringify(next.filter((row) => row.name || row.text)));
  };
  return (
    <div class="arguments">
      <datalist id={id}>{known.map((each) => <option key={each.name} value={each.name}>{each.help}</option>)}</datalist>
      {withBlank.map((row, at) => {
        const of = known.find((each) => each.name === row.name);
        const values = of?.values ?? (row.type === 'boolean' ? ['true', 'false'] : []);
        return (
        <div key={at}>
          <input aria-label={`Name ${at + 1}`} list={id} value={row.name} placeholder="name" autocomplete="off" spellcheck={false}
            onInput={(event) => change(at, { name: event.currentTarget.value })} />
          <input aria-label={`Value ${at + 1}`} list={values.length ? `${id}-${at}` : undefined} value={row.text} placeholder={placeholder(of)} autocomplete="off" spellcheck={false}
            onInput={(event) => change(at, { text: event.currentTarget.value })} />
          <select aria-label={`Type ${at + 1}`} value={row.type} onChange={(event) => change(at, { type: event.currentTarget.value })}>
            {['string', 'number', 'boolean', 'json'].map((type) => <option key={type} value={type}>{type}</option>)}
          </select>
          {values.length > 0 && <datalist id={`${id}-${at}`}>{values.map((each) => <option key={each} value={each} />)}</datalist>}
          {of?.help && <p class="help">{of.help}</p>}
        </div>
        );
      })}
    </div>
  );
}

function placeholder(of: KnownName | undefined): string {
  if (of?.values) return of.values.join(' or ');
  return of?.type.replaceAll('_', ' ') ?? 'value';
}

/** Rows of a field of kind `arguments` that already holds something. */
export function rowsOf(given: Record<string, unknown>): string {
  const rows = Object.entries(given).map(([name, value]): ArgumentRow => ({
    name,
    type: value !== null && ['string', 'number', 'boolean'].includes(typeof value) ? typeof value : 'json',
    text: typeof value === 'string' ? value : JSON.stringify(value),
  }));
  return rows.length ? JSON.stringify(rows) : '';
}

function jsonType(type: string): string {
  if (/bool/.test(type)) return 'boolean';
  if (/int|num|count|long|milli|size|byte/i.test(type)) return 'number';
  return 'string';
}

function readRows(value: string): ArgumentRow[] {
  return value ? (JSON.parse(value) as ArgumentRow[]) : [];
}

/** What the rows of a field of kind `arguments` come to. Throws when a value is none of its type. */
export function argumentsOf(value: string | undefined): Record<string, unknown> {
  const rows = readRows(value ?? '').filter((row) => row.name);
  return Object.fromEntries(rows.map((row) => [row.name, valueOf(row)]));
}

function valueOf({ name, type, text }: ArgumentRow): unknown {
  if (type === 'string') return text;
  const value = typed(text);
  if (type === 'json' || typeof value === type) return value;
  throw new Error(`${name} has to be a ${type}`);
}
