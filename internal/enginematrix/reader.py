"""Runs SQL in one engine: reader.py ENGINE [EXTENSION, DIRECTORY OR PORT].

Each line of the input is a JSON object: {"script": "..."} with statements, or {"query": "..."} with
one. Each line of the output is {"rows": [...]} or {"error": "..."}. Scripts are split at semicolons
that end a line, by a program that knows nothing else of SQL. Dates are texts and numbers are rounded,
so that the rows of all engines compare.
"""
import datetime
import decimal
import json
import sys


def plain(value):
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, (datetime.datetime, datetime.date)):
        return value.isoformat()[:10]
    if isinstance(value, (int, float, decimal.Decimal)):
        number = float(value)
        return None if number != number else round(number, 6)
    return str(value)


def duckdb_engine(extension=""):
    import duckdb

    connection = duckdb.connect(config={"allow_unsigned_extensions": "true"} if extension else {})
    if extension:  # a package of the registry has it, built by someone else
        import importlib.util
        import pathlib

        folder = pathlib.Path(importlib.util.find_spec("duckdb_extension_" + extension).origin).parent
        file = folder / "extensions" / f"v{duckdb.__version__}" / f"{extension}.duckdb_extension"
        connection.execute(f"LOAD '{file}'")
    return lambda sql: connection.execute(sql).fetchall()


def clickhouse_engine():
    from chdb import session

    s = session.Session()

    def run(sql):
        answer = s.query(sql, "JSONCompact")
        text = answer.bytes().decode() if hasattr(answer, "bytes") else str(answer)
        if not text.strip():
            return []
        result = json.loads(text)
        numbers = [any(t in column["type"] for t in ("Int", "Float", "Decimal")) for column in result["meta"]]
        times = ["Date" in column["type"] for column in result["meta"]]

        def cell(i, value):
            if value is not None and numbers[i] and isinstance(value, str):
                return float(value)
            if value is not None and times[i]:
                return value[:10]
            return value

        return [[cell(i, v) for i, v in enumerate(row)] for row in result["data"]]

    return run


def spark_engine(catalogue):
    import os

    os.chdir(catalogue)
    from pyspark.sql import SparkSession

    s = (
        SparkSession.builder.master("local[1]")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.driver.memory", "1g")
        .config("spark.sql.shuffle.partitions", "2")
        .enableHiveSupport()
        .getOrCreate()
    )
    s.sparkContext.setLogLevel("OFF")
    return lambda sql: [list(row) for row in s.sql(sql).collect()]


def trino_engine(port):
    from trino.dbapi import connect

    connection = connect(host="127.0.0.1", port=int(port), user="reader", catalog="hive", timezone="UTC")

    def run(sql):
        cursor = connection.cursor()
        cursor.execute(sql)
        return cursor.fetchall()

    return run


def main(engines):
    out = sys.stdout
    sys.stdout = sys.stderr
    run = engines[sys.argv[1]](*sys.argv[2:])
    for line in sys.stdin:
        request, answer = json.loads(line), {"rows": []}
        try:
            for statement in (request.get("script", "") + "\n").split(";\n"):
                statement = "\n".join(l for l in statement.split("\n") if not l.startswith("--")).strip()
                if statement:
                    run(statement)
            if "query" in request:
                answer["rows"] = [[plain(v) for v in row] for row in run(request["query"])]
        except Exception as problem:  # any engine's
            answer = {"error": f"{type(problem).__name__}: {problem}"[:2000]}
        out.write(json.dumps(answer) + "\n")
        out.flush()


if __name__ == "__main__":
    main({"duckdb": duckdb_engine, "clickhouse": clickhouse_engine, "spark": spark_engine, "trino": trino_engine})
