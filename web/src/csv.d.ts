// The policy's table, as `scripts/policy.ts` turns it over: the roles of members that have a control.
declare module '*/policy_controls.csv' {
  const allowed: Record<string, string[]>;
  export default allowed;
}
