// Uses every feature of the official Node client against the host in COFFERDAM_HOST, and prints the
// errors that the client reported. What arrived is checked by the test that runs this.

import Mixpanel from "mixpanel";

const host = process.env.COFFERDAM_HOST;
const token = process.env.COFFERDAM_TOKEN;
const errors = [];

// `key` is what lets this client use /import over plain HTTP; it warns that keys are old.
const quiet = { trace() {}, debug() {}, info() {}, warn() {}, error: (text) => errors.push(String(text)) };
const settings = { host, protocol: "http", key: token, logger: quiet };
const client = Mixpanel.init(token, settings);

/** Runs one call that ends with a callback and keeps what it complained about. */
const done = (name, call) =>
  new Promise((resolve) => {
    call((error) => {
      for (const one of error ? [error].flat() : []) {
        errors.push(`${name}: ${one.message ?? one}`);
      }
      resolve();
    });
  });

const { people, groups } = client;
const who = "node-user";
const company = ["company", "Node Works"];
const old = new Date(Date.now() - 40 * 86_400_000);

await done("track", (end) => client.track("Node tracked", { distinct_id: who, plan: "pro" }, end));
const batch = Array.from({ length: 120 }, (_, n) => ({
  event: "Node batched",
  properties: { distinct_id: `node-${n % 10}`, n, time: new Date() },
}));
await done("track_batch", (end) => client.track_batch(batch, end));
await done("import", (end) => client.import("Node imported", old, { distinct_id: who, plan: "pro" }, end));
const history = Array.from({ length: 60 }, (_, n) => ({
  event: "Node history",
  properties: { distinct_id: `node-${n % 6}`, n, time: old.getTime() + n * 1000 },
}));
await done("import_batch", (end) => client.import_batch(history, { max_batch_size: 25 }, end));

await done("set", (end) => people.set(who, { plan: "free", gone: 1, $email: "node@coffer.example" }, end));
await done("set one", (end) => people.set(who, "plan", "team", end));
await done("set with modifiers", (end) =>
  people.set(who, { $first_name: "Nora" }, { $ignore_time: true, $ip: "0" }, end));
await done("set_once", (end) => people.set_once(who, "first", "kept", end));
await done("set_once again", (end) => people.set_once(who, { first: "lost" }, end));
await done("increment", (end) => people.increment(who, "visits", end));
await done("increment by", (end) => people.increment(who, "visits", 2, end));
await done("decrement", (end) => people.increment(who, { credit: -2 }, end));
for (const page of ["home", "prices", "home"]) {
  await done("append", (end) => people.append(who, "pages", page, end));
}
await done("union", (end) => people.union(who, { tags: ["a", "b"], colours: ["red", "blue"] }, end));
await done("union again", (end) => people.union(who, { tags: ["b", "c"] }, end));
await done("remove", (end) => people.remove(who, { colours: "blue" }, end));
await done("unset", (end) => people.unset(who, "gone", end));
await done("track_charge", (end) => people.track_charge(who, 29.99, { $time: new Date() }, end));
await done("clear_charges", (end) => people.clear_charges(who, end));
await done("track for delete", (end) => client.track("Node deleted", { distinct_id: "node-gone" }, end));
await done("set for delete", (end) => people.set("node-gone", "plan", "pro", end));
await done("delete_user", (end) => people.delete_user("node-gone", end));

await done("group set", (end) => groups.set(...company, { $name: "Node Works", industry: "widgets" }, end));
await done("group set_once", (end) => groups.set_once(...company, "founded", 1999, end));
await done("group union", (end) => groups.union(...company, { products: ["anvil", "rocket"] }, end));
await done("group remove", (end) => groups.remove(...company, { products: "anvil" }, end));
await done("group unset", (end) => groups.unset(...company, "founded", end));
await done("group delete", (end) => groups.delete_group(...company, end));

const verbose = Mixpanel.init(token, { ...settings, verbose: true, geolocate: true });
await done("verbose", (end) => verbose.track("Node verbose", { distinct_id: who }, end));

const originalToken = process.env.COFFERDAM_ORIGINAL_TOKEN;
const original = Mixpanel.init(originalToken, { ...settings, key: originalToken });
await done("before alias", (end) =>
  original.track("Node aliased", { distinct_id: "node-lead", side: "lead" }, end));
await done("alias", (end) => original.alias("node-lead", "node-customer", end));
await done("after alias", (end) =>
  original.track("Node aliased", { distinct_id: "node-customer", side: "customer" }, end));

console.log(JSON.stringify({ errors }));
process.exit(0);
