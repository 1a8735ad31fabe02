"""Runs the seven questions of docs/benchmarks.md on ClickHouse in process (chdb) or on DuckDB.

    peers.py ENGINE --data DIR --out FILE --load
    peers.py ENGINE --data DIR --out FILE [--only Q3,Q4] [--runs 5]

ENGINE is `ch-event` (sorted by event, day, subject), `ch-subject` (sorted by subject, time) or `duckdb`. DIR holds
`raw/part-*.parquet` and gets the engine's files. A question has one form or several; a form's answer is comparable
with ours when it computes our definition, and `native` when it is the engine's own nearest one, which is timed all the
same. FILE gets, as JSON, the cost of loading and, per question and form, wall and CPU seconds of warm runs, the peak
memory of the first run, and the answer as rows.
"""

import argparse
import glob
import json
import os
import shutil
import statistics
import time
from pathlib import Path

VIEW, CART, BUY, SEARCH, SIGNUP = "product_view", "add_to_cart", "purchase", "search", "signup"
FUNNEL = f"event IN ('{VIEW}','{CART}','{BUY}')"
WEEK_MS = 7 * 86_400_000
COLUMNS = "time,subject,event,insert_id,country,city,browser,os,org_id,plan,url_path,amount"


def peak_mb():
    """The peak of the resident set since `reset_peak`."""
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024


def reset_peak():
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pass  # not permitted here: the peak is then the whole process's


class ClickHouse:
    """A MergeTree in this process."""

    RANGE = "time >= toDateTime64('2026-06-01 00:00:00',3,'UTC') AND time < toDateTime64('2026-07-31 00:00:00',3,'UTC')"
    ORDER = {
        "ch-event": "PARTITION BY toYYYYMM(time) ORDER BY (event,toDate(time),subject)",
        "ch-subject": "ORDER BY (subject,time)",
    }

    def __init__(self, engine, data, load):
        from chdb import session

        self.engine, self.data, folder = engine, data, f"{data}/{engine}"
        if load:
            shutil.rmtree(folder, ignore_errors=True)
        self.session = session.Session(folder)
        self.version = "ClickHouse " + self.text("SELECT version()").strip()

    def text(self, sql):
        return self.session.query(sql, "TSV").bytes().decode()

    def rows(self, sql):
        answer = self.session.query(sql, "JSONCompactEachRow").bytes().decode()
        return [json.loads(line) for line in answer.splitlines()]

    def load(self):
        low = "LowCardinality(String)"
        self.text("CREATE DATABASE d ENGINE=Atomic")
        self.text(
            f"""CREATE TABLE d.ev (time DateTime64(3,'UTC') CODEC(Delta,ZSTD(1)), subject UInt64 CODEC(ZSTD(1)),
            event {low}, insert_id UInt64 CODEC(NONE), country {low}, city {low}, browser {low}, os {low},
            org_id String CODEC(ZSTD(1)), plan {low}, url_path {low}, amount Nullable(Float64) CODEC(ZSTD(1)))
            ENGINE=MergeTree {self.ORDER[self.engine]}"""
        )
        self.text(f"INSERT INTO d.ev SELECT {COLUMNS} FROM file('{self.data}/raw/part-*.parquet',Parquet)")
        self.text("OPTIMIZE TABLE d.ev FINAL")

    def size(self):
        """Events, and the bytes they take on disk."""
        events = self.rows("SELECT count() FROM d.ev")[0][0]
        size = "SELECT sum(bytes_on_disk) FROM system.parts WHERE database='d' AND table='ev' AND active"
        return int(events), int(self.rows(size)[0][0])

    def attempts(self):
        """Q4 as ours: one attempt after the other, each plan's first one counts."""
        step = f"""multiIf(event='{VIEW}',1,event='{CART}',2,3)"""
        over = f"a.2 > 0 AND x.1 > a.1+{WEEK_MS}"
        reached = f"if({over}, 0, a.2)"
        fold = f"""arrayFold((a, x) -> (
            if({reached} = 0, x.1, a.1),
            toUInt8(multiIf({reached} = 0, x.2 = 1, {reached} = 1, if(x.2 = 2, 2, 1), if(x.2 = 3, 0, 2))),
            if({reached} = 0, x.3, a.3),
            multiIf({over}, arrayPushBack(a.4, (a.3, a.2)), a.2 = 2 AND x.2 = 3, arrayPushBack(a.4, (a.3, toUInt8(3))), a.4)
            ), rows, (toInt64(0), toUInt8(0), '', CAST([], 'Array(Tuple(String, UInt8))')))"""
        return f"""SELECT r.1, r.2, count() FROM (SELECT arrayJoin(arrayMap(p -> (p, levels[indexOf(plans, p)]),
            arrayDistinct(plans))) r FROM (SELECT arrayMap(x -> x.1, done) plans, arrayMap(x -> x.2, done) levels FROM
            (SELECT {fold} s, if(s.2 > 0, arrayPushBack(s.4, (s.3, s.2)), s.4) done FROM (SELECT
            arraySort(groupArray((toUnixTimestamp64Milli(time), toUInt8({step}), toString(plan)))) rows FROM d.ev
            WHERE {FUNNEL} AND (event != '{CART}' OR amount > 50) AND {self.RANGE} GROUP BY subject)))) GROUP BY 1, 2"""

    def questions(self):
        r, day, t = self.RANGE, "toDate(time)", "toUnixTimestamp64Milli(time)"
        own = f"windowFunnel({WEEK_MS})(toUInt64({t}),event='{VIEW}',event='{CART}'%s,event='{BUY}')"
        # Ours: the clock starts at the first view (of each plan), and each later step is the first one after.
        steps = f"""groupArrayIf({t},event='{CART}'%s) carts, groupArrayIf({t},event='{BUY}') buys"""
        cart = f"arrayMin(arrayFilter(x -> x > view AND x <= view + {WEEK_MS}, carts))"
        level = f"multiIf({cart} AS cart = 0, 1, arrayExists(x -> x > cart AND x <= view + {WEEK_MS}, buys), 3, 2)"
        number = "dateDiff('day',toDate('2026-06-01'),toDate(time))"
        retained = f"""SELECT toDate('2026-06-01')+d0, k, countIf(%s) FROM (SELECT subject,
            minIf(toUInt8({number}),event='{SIGNUP}') d0, %s days, countIf(event='{SIGNUP}') n
            FROM d.ev WHERE {r} GROUP BY subject HAVING n > 0) ARRAY JOIN range(15) AS k WHERE d0+k < 60 GROUP BY d0,k"""
        forms = {
            "Q1": {"": f"SELECT {day}, toUInt32(count()) FROM d.ev WHERE event='{SEARCH}' AND {r} GROUP BY 1"},
            "Q2": {
                "": f"""SELECT {day}, country, toUInt32(uniqExact(subject)) FROM d.ev WHERE event='{SEARCH}' AND {r}
                AND country IN (SELECT country FROM d.ev WHERE event='{SEARCH}' AND {r}
                GROUP BY country ORDER BY uniqExact(subject) DESC LIMIT 10) GROUP BY 1, 2""",
                "by events native": f"""SELECT {day}, country, toUInt32(uniqExact(subject)) FROM d.ev
                WHERE event='{SEARCH}' AND {r} AND country IN (SELECT country FROM d.ev WHERE event='{SEARCH}' AND {r}
                GROUP BY country ORDER BY count() DESC LIMIT 10) GROUP BY 1, 2""",
            },
            "Q3": {
                "first entry": f"""SELECT {level} l, count() FROM (SELECT subject, minIf({t},event='{VIEW}') view,
                {steps % ''} FROM d.ev WHERE {FUNNEL} AND {r} GROUP BY subject HAVING view > 0) GROUP BY l""",
                "windowFunnel native": f"""SELECT l, count() FROM (SELECT subject, {own % ''} l FROM d.ev
                WHERE {FUNNEL} AND {r} GROUP BY subject) WHERE l > 0 GROUP BY l""",
            },
            "Q4": {
                "attempts": self.attempts(),
                "first entry native": f"""SELECT plan, {level} l, count() FROM
                (SELECT subject, plan, min({t}) view FROM d.ev WHERE event='{VIEW}' AND {r} GROUP BY subject, plan) v
                LEFT JOIN (SELECT subject, {steps % ' AND amount>50'} FROM d.ev WHERE {FUNNEL} AND event!='{VIEW}' AND {r}
                GROUP BY subject) s USING (subject) GROUP BY plan, l""",
                "windowFunnel native": f"""SELECT p, l, count() FROM (SELECT subject,
                argMinIf(plan,time,event='{VIEW}') p, {own % ' AND amount>50'} l FROM d.ev WHERE {FUNNEL} AND {r}
                GROUP BY subject) WHERE l > 0 GROUP BY p, l""",
            },
            "Q5": {
                "mask": retained % ("bitTest(days,d0+k)", f"groupBitOr(bitShiftLeft(toUInt64(1),toUInt8({number})))"),
                "array": retained % ("has(days,d0+k)", f"groupUniqArray(toUInt8({number}))"),
            },
            "Q6": {
                "window": f"""SELECT e1,e2,e3,count() c FROM (SELECT event, leadInFrame(event,1) OVER w e1,
                leadInFrame(event,2) OVER w e2, leadInFrame(event,3) OVER w e3 FROM d.ev WHERE {r} WINDOW w AS
                (PARTITION BY subject ORDER BY time ROWS BETWEEN CURRENT ROW AND 3 FOLLOWING))
                WHERE event='{VIEW}' GROUP BY e1,e2,e3 ORDER BY c DESC,e1,e2,e3 LIMIT 10""",
                "array": f"""SELECT p.1,p.2,p.3,count() c FROM (SELECT arrayJoin(arrayMap(i -> (a[i+1],a[i+2],a[i+3]),
                arrayFilter(i -> a[i]='{VIEW}',arrayEnumerate(a)))) p FROM (SELECT
                arrayMap(x -> x.2,arraySort(groupArray((time,event)))) a FROM d.ev WHERE {r} GROUP BY subject))
                GROUP BY p ORDER BY c DESC,p LIMIT 10""",
            },
            "Q7": {"": f"SELECT uniqExact(subject) FROM d.ev WHERE startsWith(url_path,'/product/') AND {r}"},
        }
        forms["Q3b"] = {"windowFunnel": forms["Q3"]["windowFunnel native"]}
        if self.engine == "ch-subject":
            for name in ["Q3", "Q3b", "Q4", "Q5"]:
                for form, sql in list(forms[name].items()):
                    forms[name][f"{form}, in order"] = f"{sql} SETTINGS optimize_aggregation_in_order=1"
        return forms


class DuckDB:
    """One file, sorted by subject and time, low-cardinality texts as enums."""

    RANGE = "time >= TIMESTAMP '2026-06-01' AND time < TIMESTAMP '2026-07-31'"
    ENUMS = ["event", "country", "browser", "os", "plan"]

    def __init__(self, _engine, data, load):
        import duckdb

        self.data, self.path, self.version = data, f"{data}/duck.db", f"DuckDB {duckdb.__version__}"
        if load:
            for path in glob.glob(self.path + "*"):
                os.remove(path)
        self.connection = duckdb.connect(self.path, read_only=not load)
        half = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
        self.connection.execute(f"SET TimeZone='UTC'; SET memory_limit='{half // 1_000_000}MB'")

    def rows(self, sql):
        return [[str(x) if hasattr(x, "isoformat") else x for x in row] for row in self.connection.execute(sql).fetchall()]

    def load(self):
        source = f"read_parquet('{self.data}/raw/part-*.parquet')"
        for column in self.ENUMS:
            self.connection.execute(f"CREATE TYPE t_{column} AS ENUM (SELECT DISTINCT {column} FROM {source} ORDER BY 1)")
        casts = {column: f"{column}::t_{column} AS {column}" for column in self.ENUMS} | {"time": "time::TIMESTAMP AS time"}
        columns = ",".join(casts.get(column, column) for column in COLUMNS.split(","))
        self.connection.execute(f"CREATE TABLE ev AS SELECT {columns} FROM {source} ORDER BY subject,time")
        self.connection.execute("CHECKPOINT")

    def size(self):
        """Events, and the bytes they take on disk."""
        return self.rows("SELECT count(*) FROM ev")[0][0], os.path.getsize(self.path)

    def questions(self):
        r, day, week = self.RANGE, "time::DATE", "INTERVAL 7 DAY"

        def first_entry(by, big):
            keys = "subject,plan" if by else "subject"
            label = "plan::VARCHAR," if by else ""
            return f"""WITH f AS MATERIALIZED (SELECT subject,plan,time,event FROM ev WHERE {FUNNEL} AND {r}
                AND (event != '{CART}' OR {big})),
            v AS MATERIALIZED (SELECT {keys},min(time) view FROM f WHERE event='{VIEW}' GROUP BY ALL),
            c AS MATERIALIZED (SELECT {keys.replace('plan', 'v.plan')},view,min(time) cart FROM f JOIN v USING (subject)
                WHERE event='{CART}' AND time > view AND time <= view+{week} GROUP BY ALL),
            b AS (SELECT {keys.replace('plan', 'c.plan')} FROM f JOIN c USING (subject)
                WHERE event='{BUY}' AND time > cart AND time <= view+{week} GROUP BY ALL)
            SELECT {label}CASE WHEN b.subject IS NOT NULL THEN 3 WHEN c.subject IS NOT NULL THEN 2 ELSE 1 END,count(*)
                FROM v LEFT JOIN c USING ({keys}) LEFT JOIN b USING ({keys}) GROUP BY ALL"""

        def window(by, big):
            touch = f"arg_min(plan,time) FILTER (event='{VIEW}')::VARCHAR p," if by else ""
            label = "p," if by else ""
            return f"""WITH f AS (SELECT subject,time,event,plan,amount FROM ev WHERE {FUNNEL} AND {r}),
            w1 AS (SELECT *,max(CASE WHEN event='{VIEW}' THEN time END) OVER (PARTITION BY subject ORDER BY time) a FROM f),
            w2 AS (SELECT *,max(CASE WHEN event='{CART}' AND {big} AND time<=a+{week} THEN a END)
                OVER (PARTITION BY subject ORDER BY time) b FROM w1)
            SELECT {label}l,count(*) FROM (SELECT subject,{touch}max(CASE WHEN event='{BUY}' AND time<=b+{week} THEN 3
                WHEN event='{CART}' AND {big} AND time<=a+{week} THEN 2 WHEN event='{VIEW}' THEN 1 ELSE 0 END) l
                FROM w2 GROUP BY subject) WHERE l > 0 GROUP BY ALL"""

        def asof(by, big):
            plan = "plan," if by else ""
            carts = f"""WITH a AS MATERIALIZED (SELECT subject,{plan}time FROM ev WHERE event='{VIEW}' AND {r}),
            b AS MATERIALIZED (SELECT b.subject,b.time,a.time st FROM (SELECT subject,time FROM ev
                WHERE event='{CART}' AND {big} AND {r}) b ASOF JOIN a ON b.subject=a.subject AND b.time>=a.time
                WHERE b.time<=a.time+{week}),
            c AS (SELECT c.subject FROM (SELECT subject,time FROM ev WHERE event='{BUY}' AND {r}) c
                ASOF JOIN b ON c.subject=b.subject AND c.time>=b.time WHERE c.time<=b.st+{week}),"""
            if by:
                return f"""{carts} p AS (SELECT subject,arg_min(plan,time)::VARCHAR p FROM a GROUP BY subject)
                SELECT p,CASE WHEN subject IN (SELECT subject FROM c) THEN 3 WHEN subject IN (SELECT subject FROM b)
                THEN 2 ELSE 1 END,count(*) FROM p GROUP BY ALL"""
            return f"""{carts} n AS (SELECT (SELECT count(DISTINCT subject) FROM a) n1,
                (SELECT count(DISTINCT subject) FROM b) n2,(SELECT count(DISTINCT subject) FROM c) n3)
                SELECT 1,n1-n2 FROM n UNION ALL SELECT 2,n2-n3 FROM n UNION ALL SELECT 3,n3 FROM n"""

        number = "date_diff('day',DATE '2026-06-01',time::DATE)"
        searches = f"event='{SEARCH}' AND {r}"

        def top(order):
            return f"""SELECT {day},country::VARCHAR,count(DISTINCT subject) FROM ev WHERE {searches} AND country IN
            (SELECT country FROM ev WHERE {searches} GROUP BY country ORDER BY {order} DESC LIMIT 10) GROUP BY ALL"""

        return {
            "Q1": {"": f"SELECT {day},count(*) FROM ev WHERE {searches} GROUP BY ALL"},
            "Q2": {"": top("count(DISTINCT subject)"), "by events native": top("count(*)")},
            "Q3": {
                "first entry": first_entry(False, "true"),
                "window native": window(False, "true"),
                "asof native": asof(False, "true"),
            },
            "Q3b": {"window": window(False, "true"), "asof": asof(False, "true")},
            "Q4": {
                "first entry native": first_entry(True, "amount>50"),
                "window native": window(True, "amount>50"),
                "asof native": asof(True, "amount>50"),
            },
            "Q5": {
                "mask": f"""SELECT DATE '2026-06-01'+d0::INT,k,count(*) FILTER ((mask>>(d0+k))&1=1) FROM (SELECT subject,
                min({number}) FILTER (event='{SIGNUP}') d0,bit_or(1::UBIGINT<<({number})::INT) mask FROM ev WHERE {r}
                GROUP BY subject HAVING d0 IS NOT NULL),range(15) r(k) WHERE d0+k<60 GROUP BY d0,k""",
                "join": f"""WITH c AS (SELECT subject,min({day}) d0 FROM ev WHERE event='{SIGNUP}' AND {r} GROUP BY subject),
                a AS (SELECT DISTINCT subject,{day} d FROM ev WHERE {r})
                SELECT d0,d-d0 k,count(*) FROM c JOIN a USING (subject) WHERE d>=d0 AND d<=d0+14 GROUP BY ALL""",
            },
            "Q6": {
                "": f"""SELECT coalesce(e1::VARCHAR,'') e1,coalesce(e2::VARCHAR,'') e2,coalesce(e3::VARCHAR,'') e3,count(*) c FROM (SELECT event,lead(event,1) OVER w e1,
                lead(event,2) OVER w e2,lead(event,3) OVER w e3 FROM ev WHERE {r} WINDOW w AS
                (PARTITION BY subject ORDER BY time)) WHERE event='{VIEW}' GROUP BY ALL
                ORDER BY c DESC,1,2,3 LIMIT 10"""
            },
            "Q7": {"": f"SELECT count(DISTINCT subject) FROM ev WHERE starts_with(url_path,'/product/') AND {r}"},
        }


def measure(run, sql, runs):
    """One first run, whose memory counts, and up to `runs` warm ones, fewer when they take more than a minute."""
    reset_peak()
    started = time.perf_counter()
    rows = run(sql)
    first, peak = time.perf_counter() - started, peak_mb()
    walls, cpu = [], time.process_time()
    while len(walls) < runs and sum(walls) < 60:
        started = time.perf_counter()
        rows = run(sql)
        walls.append(time.perf_counter() - started)
    cpu = (time.process_time() - cpu) / len(walls)
    return {"first_s": first, "wall_s": statistics.median(walls), "all_s": walls, "cpu_s": cpu, "peak_mb": peak, "rows": rows}


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("engine", choices=["ch-event", "ch-subject", "duckdb"])
    arguments.add_argument("--data", required=True)
    arguments.add_argument("--out", type=Path, required=True)
    arguments.add_argument("--load", action="store_true", help="fill the engine from the Parquet files, and ask nothing")
    arguments.add_argument("--only", default="", help="names of questions, by comma")
    arguments.add_argument("--runs", type=int, default=5)
    args = arguments.parse_args()
    kind = DuckDB if args.engine == "duckdb" else ClickHouse
    peer = kind(args.engine, os.path.abspath(args.data), args.load)
    known = json.loads(args.out.read_text()) if args.out.exists() else {}
    result = {"version": peer.version, "load": known.get("load"), "queries": known.get("queries", {})}
    if args.load:
        reset_peak()
        started, cpu = time.perf_counter(), time.process_time()
        peer.load()
        wall, cpu = time.perf_counter() - started, time.process_time() - cpu
        events, size = peer.size()
        load = {"events": events, "wall_s": wall, "cpu_s": cpu, "peak_mb": peak_mb(), "bytes_per_event": size / events}
        result["load"] = load
        print(f"{args.engine}: loaded {events} events in {wall:.0f} s, cpu {cpu:.0f} s, {size / events:.1f} B/event", flush=True)
        args.out.write_text(json.dumps(result, indent=1))
        return
    only = [name for name in args.only.split(",") if name]
    for name, forms in peer.questions().items():
        if only and name not in only:
            continue
        result["queries"][name] = {}
        for form, sql in forms.items():
            try:
                cost = measure(peer.rows, sql, args.runs)
            except Exception as error:  # an engine that gives up on a form is a result too
                result["queries"][name][form] = {"error": str(error)[:300]}
                print(f"{args.engine} {name} {form}: {str(error)[:300]}", flush=True)
                continue
            result["queries"][name][form] = cost
            print(
                f"{args.engine} {name} {form or '-':22s} first {cost['first_s']:7.3f} s  warm {cost['wall_s']:7.3f} s  "
                f"cpu {cost['cpu_s']:7.3f} s  peak {cost['peak_mb']:5.0f} MB",
                flush=True,
            )
    args.out.write_text(json.dumps(result, indent=1, default=str))


main()
