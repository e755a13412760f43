"""siglake every night, one mapped task a shard: retries, skips and failures follow the exit codes."""

from datetime import timedelta

import pendulum
from airflow.providers.standard.hooks.subprocess import SubprocessHook
from airflow.sdk import DAG, BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

SHARDS = 6  # stays so: lakes know what was bought for their shards
LAKE = "s3://example-bucket/lake/shard-{shard}"
COMPLETE = {0, 10, 12}
DEFERRED = 20
RETRY = {DEFERRED, 40, 50, 130, 137, 143}  # the same command continues
ENV = {
    "HOME": "/var/lib/siglake",
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "SIGLAKE_CONFIG": "/etc/siglake/siglake.yaml",
    "SIGLAKE_API_KEY_FILE": "/etc/siglake/lusha-api-key",
}


class Siglake(BaseOperator):
    """Runs siglake. A task that is stopped sends SIGTERM: what is paid is published."""

    def __init__(self, *, command: list[str], shard: str = "", program: str = "siglake", **kwargs):
        super().__init__(**kwargs)
        self.command, self.shard, self.program = command, shard, program
        self.hook = None

    def execute(self, context):
        env = ENV | ({"SIGLAKE_SHARD": self.shard} if self.shard else {})
        self.hook = SubprocessHook()
        code = self.hook.run_command([self.program, *self.command], env=env).exit_code
        if code < 0:  # killed by a signal
            code = 128 - code
        if code in COMPLETE:
            return code
        if code not in RETRY:
            raise AirflowFailException(f"exit code {code}: a person must look; no retry")
        if self.shard and code == DEFERRED and context["ti"].try_number > self.retries:
            raise AirflowSkipException("exit code 20: the next night requests the rest")
        raise AirflowException(f"exit code {code}: the same command continues")

    def on_kill(self):
        if self.hook:
            self.hook.send_sigterm()


with DAG(
    "siglake_shards",
    schedule="17 2 * * *",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
) as dag:
    shards = Siglake.partial(
        task_id="shard",
        command=["job", "nightly"],
        retries=7,
        retry_delay=timedelta(minutes=30),
        max_active_tis_per_dag=2,  # as many as the plan's rate limits feed
    ).expand(shard=[f"{index}/{SHARDS}" for index in range(SHARDS)])
    # Fails if a shard is missing, behind or in doubt.
    union = Siglake(task_id="union", command=["union", LAKE], trigger_rule="all_done")
    shards >> union
