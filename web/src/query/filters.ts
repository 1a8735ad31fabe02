// What a filter may ask of which type of property, and how a half-typed one becomes a whole one.
import type { Condition, Filter, Holder, Property, PropertyType, Scalar } from '../api/types';

export type Operator = Condition['op'];

/** A filter while it is being written; it joins the query once `complete` makes something of it. */
export interface FilterDraft {
  /** Whose property, unless the event's. */
  on?: Holder | undefined;
  property: string;
  op: Operator;
  values: string[];
}

const TEXT: Operator[] = [
  'equals',
  'does_not_equal',
  'contains',
  'does_not_contain',
  'starts_with',
  'ends_with',
  'is_set',
  'is_not_set',
];
const NUMBER: Operator[] = [
  'equals',
  'does_not_equal',
  'greater_than',
  'at_least',
  'less_than',
  'at_most',
  'between',
  'is_set',
  'is_not_set',
];
const BOOLEAN: Operator[] = ['equals', 'is_set', 'is_not_set'];
const PRESENCE: Operator[] = ['is_set', 'is_not_set'];

export function operatorsFor(types: readonly PropertyType[] | undefined): Operator[] {
  if (!types || types.length === 0) return TEXT;
  const offered = types.flatMap((type) => {
    if (type === 'string' || type === 'list') return TEXT;
    if (type === 'number') return NUMBER;
    if (type === 'boolean') return BOOLEAN;
    return PRESENCE;
  });
  return [...new Set(offered)];
}

/** How many values an operator takes. */
export function arity(op: Operator): 'none' | 'one' | 'two' | 'many' {
  if (op === 'is_set' || op === 'is_not_set') return 'none';
  if (op === 'between') return 'two';
  return op === 'equals' || op === 'does_not_equal' ? 'many' : 'one';
}

export function comparesNumbers(op: Operator): boolean {
  return ['greater_than', 'at_least', 'less_than', 'at_most', 'between'].includes(op);
}

/** Values come as text from the keyboard; the property's type says what was meant. */
function scalarOf(text: string, types: readonly PropertyType[] | undefined): Scalar {
  if (!types || types.includes('string') || types.includes('list')) return text;
  if (types.includes('boolean') && (text === 'true' || text === 'false')) return text === 'true';
  const number = Number(text);
  return types.includes('number') && text.trim() !== '' && Number.isFinite(number) ? number : text;
}

export function draftOf({ on, property, condition }: Filter): FilterDraft {
  const values =
    'values' in condition
      ? condition.values
      : 'value' in condition
        ? [condition.value]
        : 'low' in condition
          ? [condition.low, condition.high]
          : [];
  return { ...(on ? { on } : {}), property, op: condition.op, values: values.map(String) };
}

/** The filter a draft stands for, or null while something is missing. */
export function complete(draft: FilterDraft, properties: readonly Property[]): Filter | null {
  const condition = conditionOf(draft, properties);
  return condition && { ...(draft.on ? { on: draft.on } : {}), property: draft.property, condition };
}

function conditionOf(
  { property, op, values }: FilterDraft,
  properties: readonly Property[],
): Condition | null {
  const types = properties.find(({ name }) => name === property)?.types;
  const numbers = values.map((value) => (value.trim() === '' ? Number.NaN : Number(value)));
  const [first = Number.NaN, second = Number.NaN] = numbers;
  switch (op) {
    case 'is_set':
    case 'is_not_set':
      return { op };
    case 'equals':
    case 'does_not_equal':
      return values.length > 0 ? { op, values: values.map((value) => scalarOf(value, types)) } : null;
    case 'between':
      return Number.isFinite(first) && Number.isFinite(second) ? { op, low: first, high: second } : null;
    case 'greater_than':
    case 'at_least':
    case 'less_than':
    case 'at_most':
      return Number.isFinite(first) ? { op, value: first } : null;
    default:
      return values[0] ? { op, value: values[0] } : null;
  }
}
