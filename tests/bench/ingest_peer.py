"""ClickHouse as a peer of ingest: the same records as JSONEachRow into a typed MergeTree, in process (PyPI `chdb`).

    cofferdam-bench load --data x --write records.ndjson --events 1000000
    python ingest_peer.py records.ndjson folder [block ...]

Prints events and processor seconds per million for each block size. Two threads insert, each waiting for its own
inserts, as a server's clients would; the types are what an administrator would choose for these records.
"""

import shutil
import sys
import threading
import time

from chdb import session

COLUMNS = """
    event LowCardinality(String),
    properties Tuple(
        token LowCardinality(String), time UInt64, distinct_id String, `$device_id` String, `$insert_id` String,
        `$os` LowCardinality(String), `$browser` LowCardinality(String), `$browser_version` UInt32,
        `$current_url` String, `$initial_referrer` LowCardinality(String),
        `$initial_referring_domain` LowCardinality(String), `$screen_height` UInt32, `$screen_width` UInt32,
        mp_country_code LowCardinality(String), `$city` LowCardinality(String), mp_lib LowCardinality(String),
        `$lib_version` LowCardinality(String), plan LowCardinality(String), url_path LowCardinality(String),
        amount Float64, org_id LowCardinality(String), logged_in Bool)
"""


def main():
    path, folder, *blocks = sys.argv[1:]
    lines = open(path, "rb").read().splitlines(keepends=True)
    shutil.rmtree(folder, ignore_errors=True)
    server = session.Session(folder)
    print("ClickHouse", str(server.query("SELECT version()", "TSV")).strip(), flush=True)
    server.query("CREATE DATABASE d ENGINE = Atomic")
    for block in [int(block) for block in blocks] or [2_000, 20_000, 200_000]:
        for threads in [1, 2]:
            for sync in [0, 1]:
                run(server, lines, block, threads, sync)


def run(server, lines, block, threads, sync):
    server.query("DROP TABLE IF EXISTS d.ev SYNC")
    order = "ORDER BY (event, properties.distinct_id, properties.time)"
    server.query(f"CREATE TABLE d.ev ({COLUMNS}) ENGINE = MergeTree {order} SETTINGS fsync_after_insert = {sync}")
    inserts = []
    for start in range(0, len(lines), block):
        rows = b"".join(lines[start : start + block]).decode()
        inserts.append(f"INSERT INTO d.ev FORMAT JSONEachRow {rows}")
    waits, lock = [], threading.Lock()

    def work():
        while True:
            with lock:
                if not inserts:
                    return
                insert = inserts.pop()
            began = time.perf_counter()
            server.query(insert)
            waits.append(time.perf_counter() - began)

    cpu, wall = time.process_time(), time.perf_counter()
    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    count = int(str(server.query("SELECT count() FROM d.ev", "TSV")).strip())
    assert count == len(lines), (count, len(lines))
    waits.sort()
    p99 = waits[min(len(waits) - 1, int(len(waits) * 0.99))] * 1e3
    print(
        f"blocks of {block:>7}, {threads} at once, {'synced' if sync else 'not synced'}: {count / wall:>9,.0f} events/s, "
        f"{cpu / count * 1e6:.2f} s of processor per million, p99 {p99:.1f} ms",
        flush=True,
    )




if __name__ == "__main__":
    main()
