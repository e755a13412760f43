"""Runs SQL in one engine over the Iceberg tables of a catalogue: iceberg_reader.py ENGINE ADDRESS….

The protocol is that of reader.py. Of pyiceberg, a query is the name of a table: its rows are those of its
snapshots, with the generation, the number of rows and the sum of a column of each.
"""
import importlib.util
import json
import pathlib

import reader


def duckdb_engine(address):
    import duckdb

    connection = duckdb.connect(config={"allow_unsigned_extensions": "true"})
    for extension in ("avro", "httpfs", "iceberg"):  # packages of the registry have them, built by someone else
        folder = pathlib.Path(importlib.util.find_spec("duckdb_extension_" + extension).origin).parent
        connection.execute(f"LOAD '{next(folder.rglob('*.duckdb_extension'))}'")
    connection.execute(f"ATTACH '' AS ice (TYPE iceberg, ENDPOINT '{address}', AUTHORIZATION_TYPE 'none')")
    return lambda sql: connection.execute(sql).fetchall()


def spark_engine(address, catalogue, jar):
    import os

    os.chdir(catalogue)
    from pyspark.sql import SparkSession

    s = (
        SparkSession.builder.master("local[1]")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.driver.memory", "1g")
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.jars", jar)
        .config("spark.sql.extensions", "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions")
        .config("spark.sql.catalog.ice", "org.apache.iceberg.spark.SparkCatalog")
        .config("spark.sql.catalog.ice.type", "rest")
        .config("spark.sql.catalog.ice.uri", address)
        .config("spark.sql.catalog.ice.cache-enabled", "false")
        .enableHiveSupport()
        .getOrCreate()
    )
    s.sparkContext.setLogLevel("OFF")
    return lambda sql: [list(row) for row in s.sql(sql).collect()]


def pyiceberg_engine(*properties):
    from pyiceberg.catalog import load_catalog

    catalogue = load_catalog("siglake", **dict(p.split("=", 1) for p in properties))

    def run(name):
        table, rows = catalogue.load_table(name), []
        for snapshot in table.metadata.snapshots:
            data = table.scan(snapshot_id=snapshot.snapshot_id).to_arrow()
            months = sorted(set(data["event_month"].to_pylist())) if "event_month" in data.column_names else []
            generation = int(snapshot.summary.additional_properties["siglake.generation"])
            rows.append([generation, data.num_rows, json.dumps(months)])
        return rows

    return run


if __name__ == "__main__":
    reader.main({"duckdb": duckdb_engine, "spark": spark_engine, "trino": reader.trino_engine, "pyiceberg": pyiceberg_engine})
