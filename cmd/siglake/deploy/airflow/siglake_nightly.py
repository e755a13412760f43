"""siglake every night: retries, skips and failures follow the exit codes (siglake help exit-codes)."""

from datetime import timedelta

import pendulum
from airflow.providers.standard.hooks.subprocess import SubprocessHook
from airflow.sdk import DAG, BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

COMPLETE = {0, 10, 12}
DEFERRED = 20
RETRY = {DEFERRED, 40, 50, 130, 137, 143}  # the same command continues


class SiglakeJob(BaseOperator):
    """Runs a job of siglake.yaml. A task that is stopped sends SIGTERM: what is paid is published."""

    def __init__(self, *, job: str, env: dict[str, str], program: str = "siglake", **kwargs):
        super().__init__(**kwargs)
        self.job, self.env, self.program = job, env, program
        self.hook = None

    def execute(self, context):
        self.hook = SubprocessHook()
        code = self.hook.run_command([self.program, "job", self.job], env=self.env).exit_code
        if code < 0:  # killed by a signal
            code = 128 - code
        if code in COMPLETE:
            return code
        if code not in RETRY:
            raise AirflowFailException(f"exit code {code}: a person must look; no retry")
        if code == DEFERRED and context["ti"].try_number > self.retries:
            raise AirflowSkipException("exit code 20: the next night requests the rest")
        raise AirflowException(f"exit code {code}: the same command continues")

    def on_kill(self):
        if self.hook:
            self.hook.send_sigterm()


with DAG(
    "siglake_nightly",
    schedule="17 2 * * *",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
) as dag:
    SiglakeJob(
        task_id="nightly",
        job="nightly",
        retries=7,
        retry_delay=timedelta(minutes=30),
        env={
            "HOME": "/var/lib/siglake",
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "SIGLAKE_CONFIG": "/etc/siglake/siglake.yaml",
            "SIGLAKE_API_KEY_FILE": "/etc/siglake/lusha-api-key",
        },
    )
