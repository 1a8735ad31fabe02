// What the addresses of the trust pages say: whom and what somebody looks at. They hold pseudonyms, numbers
// and times, and never an address of a person.
import * as z from 'zod/mini';
import type { ExposureCause, ExposureQuestion } from '../api/types';

const INSTANT = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:\d{2})$/;
const CAUSES_MAX = 16;

const text = (pattern: RegExp) => z.catch(z.optional(z.string().check(z.regex(pattern))), undefined);
const instant = text(INSTANT);
const flag = z.catch(z.optional(z.literal('yes')), undefined);

const disclosedSearch = z.object({
  /** The ledger's pseudonym of an account. */
  actor: text(/^[0-9a-f]{32}$/),
  purpose: text(/^[a-z_]{1,32}$/),
  /** A pseudonym of this project. */
  person: text(/^per_\w{1,64}$/),
  /** Of every project of the organisation. */
  all: flag,
  from: instant,
  to: instant,
  /** Only what the ledger has before this entry: the next page. */
  before: text(/^\d{1,16}$/),
});
export type DisclosedSearch = z.output<typeof disclosedSearch>;
export const readDisclosedSearch = (raw: Record<string, unknown>): DisclosedSearch =>
  disclosedSearch.parse(raw);

const many = z.catch(
  z.optional(
    z.union([
      z.pipe(
        z.string(),
        z.transform((one: string) => [one]),
      ),
      z.array(z.string()),
    ]),
  ),
  undefined,
);

const exposureSearch = z.object({
  /** Causes as `kind~value`, any of them. */
  by: many,
  from: instant,
  to: instant,
  all: flag,
  view: z.catch(z.optional(z.literal('table')), undefined),
});
export type ExposureSearch = z.output<typeof exposureSearch>;
export const readExposureSearch = (raw: Record<string, unknown>): ExposureSearch => exposureSearch.parse(raw);

const incidentsSearch = z.object({
  /** The form is open, with what an exposure was asked with, or for a drill. */
  open: z.catch(z.optional(z.enum(['yes', 'drill'])), undefined),
  by: many,
  from: instant,
  to: instant,
  all: flag,
});
export type IncidentsSearch = z.output<typeof incidentsSearch>;
export const readIncidentsSearch = (raw: Record<string, unknown>): IncidentsSearch =>
  incidentsSearch.parse(raw);

/** What somebody can name that disclosures have in common. */
export const CAUSE_KINDS = ['member', 'session', 'token', 'ip', 'device', 'grant'] as const;
export type CauseKind = (typeof CAUSE_KINDS)[number];
export interface NamedCause {
  kind: CauseKind;
  value: string;
}

const NUMBER = /^\d{1,9}$/;
const PSEUDONYM = /^[0-9a-f]{32}$/;

export const isNumbered = (kind: CauseKind) => kind === 'member' || kind === 'grant';
export const isCause = ({ kind, value }: NamedCause) => (isNumbered(kind) ? NUMBER : PSEUDONYM).test(value);

export const encodeCause = ({ kind, value }: NamedCause): string => `${kind}~${value}`;

/** Those that can be read; what somebody broke in an address is left out. */
export function decodeCauses(by: string[] | undefined): NamedCause[] {
  return (by ?? []).slice(0, CAUSES_MAX).flatMap((one) => {
    const [kind, value = ''] = one.split('~', 2);
    const cause = { kind: kind as CauseKind, value };
    return CAUSE_KINDS.includes(cause.kind) && isCause(cause) ? [cause] : [];
  });
}

/** The question that an address asks. */
export function questionOf(
  { by, from, to, all }: Pick<ExposureSearch, 'by' | 'from' | 'to' | 'all'>,
  project: number,
): ExposureQuestion {
  return {
    any_of: decodeCauses(by).map(causeOf),
    all_of: all === 'yes' ? [] : [{ project }],
    ...(from ? { from } : {}),
    ...(to ? { to } : {}),
  };
}

/** The account that it is about, when it is about one alone. */
export function memberOf({ by }: Pick<ExposureSearch, 'by'>): string | undefined {
  const [only, ...others] = decodeCauses(by);
  return only?.kind === 'member' && others.length === 0 ? only.value : undefined;
}

export function causeOf({ kind, value }: NamedCause): ExposureCause {
  switch (kind) {
    case 'member':
      return { member: Number(value) };
    case 'grant':
      return { grant: Number(value) };
    case 'session':
      return { session: value };
    case 'token':
      return { token: value };
    case 'ip':
      return { ip: value };
    case 'device':
      return { device: value };
  }
}
