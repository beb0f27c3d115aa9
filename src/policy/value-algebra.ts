import type { Json } from "../lib/json.ts";
import { type ValueList, valueList } from "./equality.ts";
import {
  ANYTHING,
  type Member,
  memberOf,
  NOTHING,
  NUMBER,
  TYPE,
  test,
  typeOf,
  type ValueSet,
} from "./value-set.ts";

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

/** A set from its parts; the others say nothing. */
export function valueSet(parts: Partial<ValueSet>): ValueSet {
  return settled({ ...ANYTHING, ...parts });
}

/** Takes out what no value can meet, so that an empty set is always NOTHING. */
function settled(set: Mutable<ValueSet>): ValueSet {
  if (set.low > set.high || (set.low === set.high && (set.lowOpen || set.highOpen))) set.types &= ~NUMBER;
  if (set.minLength > set.maxLength) set.types &= ~TYPE.string;
  if (set.minItems > set.maxItems || (set.minItems > 0 && set.items?.types === 0)) set.types &= ~TYPE.array;
  if (set.members !== null && !allReachable(set.members)) set.types &= ~TYPE.object;
  if (set.members === null) {
    set.closed = false;
    set.declares = null;
  }
  if (set.types === 0) return NOTHING;
  if (set.values === null) return set;
  const rest = { ...set, values: null };
  set.values = keep(set.values, (value) => test(rest, value) === null);
  set.types = set.values.all.reduce<number>((mask, value) => mask | typeOf(value), 0);
  return set.types === 0 ? NOTHING : set;
}

function allReachable(members: ReadonlyMap<string, Member>): boolean {
  for (const member of members.values()) if (!member.absent && member.values.types === 0) return false;
  return true;
}

/** The values in both. */
export function intersect(a: ValueSet, b: ValueSet): ValueSet {
  if (a === ANYTHING || a === b) return b;
  if (b === ANYTHING) return a;
  const [low, lowOpen] =
    a.low > b.low || (a.low === b.low && a.lowOpen) ? [a.low, a.lowOpen] : [b.low, b.lowOpen];
  const [high, highOpen] =
    a.high < b.high || (a.high === b.high && a.highOpen) ? [a.high, a.highOpen] : [b.high, b.highOpen];
  return settled({
    types: a.types & b.types,
    values: a.values && b.values ? keep(a.values, b.values.has) : (a.values ?? b.values),
    low,
    lowOpen,
    high,
    highOpen,
    multiplesOf: either(a.multiplesOf, b.multiplesOf),
    minLength: Math.max(a.minLength, b.minLength),
    maxLength: Math.min(a.maxLength, b.maxLength),
    patterns: either(a.patterns, b.patterns),
    formats: either(a.formats, b.formats),
    minItems: Math.max(a.minItems, b.minItems),
    maxItems: Math.min(a.maxItems, b.maxItems),
    unique: a.unique || b.unique,
    items: a.items && b.items ? intersect(a.items, b.items) : (a.items ?? b.items),
    members: a.members || b.members ? memberwise(a, b, intersectMember) : null,
    closed: a.closed || b.closed,
    declares: a.declares ?? b.declares,
  });
}

/** The smallest set of this form that has the values of both: it may have more, never fewer. */
export function join(a: ValueSet, b: ValueSet): ValueSet {
  if (a.types === 0) return b;
  if (b.types === 0) return a;
  const [low, lowOpen] =
    a.low < b.low || (a.low === b.low && !a.lowOpen) ? [a.low, a.lowOpen] : [b.low, b.lowOpen];
  const [high, highOpen] =
    a.high > b.high || (a.high === b.high && !a.highOpen) ? [a.high, a.highOpen] : [b.high, b.highOpen];
  return settled({
    types: a.types | b.types,
    values: a.values && b.values && valueList([...a.values.all, ...b.values.all]),
    low,
    lowOpen,
    high,
    highOpen,
    multiplesOf: a.multiplesOf.filter((divisor) => b.multiplesOf.includes(divisor)),
    minLength: Math.min(a.minLength, b.minLength),
    maxLength: Math.max(a.maxLength, b.maxLength),
    patterns: a.patterns.filter((pattern) => b.patterns.includes(pattern)),
    formats: a.formats.filter((format) => b.formats.includes(format)),
    minItems: Math.min(a.minItems, b.minItems),
    maxItems: Math.max(a.maxItems, b.maxItems),
    unique: a.unique && b.unique,
    items: a.items && b.items && join(a.items, b.items),
    members: a.members && b.members && memberwise(a, b, joinMember),
    closed: a.closed && b.closed,
    declares: a.declares ?? b.declares,
  });
}

function memberwise(
  a: ValueSet,
  b: ValueSet,
  combine: (a: Member, b: Member) => Member,
): Map<string, Member> {
  const names = new Set([...(a.members?.keys() ?? []), ...(b.members?.keys() ?? [])]);
  return new Map(Array.from(names, (name) => [name, combine(memberOf(a, name), memberOf(b, name))]));
}

function intersectMember(a: Member, b: Member): Member {
  return { absent: a.absent && b.absent, values: intersect(a.values, b.values) };
}

function joinMember(a: Member, b: Member): Member {
  return { absent: a.absent || b.absent, values: join(a.values, b.values) };
}

function either<T>(a: readonly T[], b: readonly T[]): readonly T[] {
  return a.length === 0 ? b : b.length === 0 ? a : [...new Set([...a, ...b])];
}

function keep(values: ValueList, wanted: (value: Json) => boolean): ValueList {
  return values.all.every(wanted) ? values : valueList(values.all.filter(wanted));
}
