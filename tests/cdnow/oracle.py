"""Answers three questions about the CDNOW purchases with plain SQL in DuckDB, and prints them as JSON.

Independent of the product: the SQL follows the published meaning of the reports. Usage: oracle.py FILE.csv
"""

import json
import sys

import duckdb

PURCHASES = """
create table purchase as
select customer_id as customer, strptime(date, '%Y%m%d')::date as day, row_number() over () as line
from read_csv(?, all_varchar = true, header = true)
"""

# Customers who bought at least once in each week, which begins on Monday.
WEEKLY_UNIQUES = """
select strftime(date_trunc('week', day), '%Y-%m-%d') as week, count(distinct customer) as customers
from purchase group by 1 order by 1
"""

# Born in the month of the first purchase; retained in month k when there is another purchase k calendar
# months later. The first purchase itself is no return.
RETENTION = """
with numbered as (
    select customer, date_trunc('month', day) as month,
        row_number() over (partition by customer order by day, line) as n
    from purchase
),
birth as (select customer, month as born from numbered where n = 1),
back as (
    select distinct customer, born, datediff('month', born, month) as k
    from numbered join birth using (customer) where n > 1
)
select strftime(born, '%Y-%m-%d') as born, k, count(*) as customers from back group by all order by all
"""

BIRTHS = """
with birth as (select customer, date_trunc('month', min(day)) as born from purchase group by 1)
select strftime(born, '%Y-%m-%d') as born, count(*) as customers from birth group by 1 order by 1
"""

# Bought again within 30 days of the first purchase: another line, on the same day or up to 30 days later.
REPEAT = """
with numbered as (
    select *, row_number() over (partition by customer order by day, line) as n from purchase
),
first as (select customer, day as first_day from numbered where n = 1)
select count(distinct customer),
    count(distinct customer) filter (where n > 1 and datediff('day', first_day, day) <= 30)
from numbered join first using (customer)
"""


def main(path: str) -> None:
    database = duckdb.connect()
    database.execute(PURCHASES, [path])
    rows = lambda sql: database.execute(sql).fetchall()
    (purchases, customers) = rows("select count(*), count(distinct customer) from purchase")[0]
    sizes = dict(rows(BIRTHS))
    cohorts = {born: {"size": size, "retained": {}} for born, size in sizes.items()}
    for born, k, count in rows(RETENTION):
        cohorts[born]["retained"][str(k)] = count
    print(
        json.dumps(
            {
                "purchases": purchases,
                "customers": customers,
                "weekly_uniques": dict(rows(WEEKLY_UNIQUES)),
                "retention": cohorts,
                "repeat": list(rows(REPEAT)[0]),
            }
        )
    )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
