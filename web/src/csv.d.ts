// The policy's tables, as `scripts/policy.ts` turns them over: by what is done, how it is decided for each role that
// is not denied it.
declare module '*.csv' {
  const decided: Record<string, Record<string, string>>;
  export default decided;
}
