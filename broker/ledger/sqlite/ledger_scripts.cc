#include "broker/ledger/sqlite/ledger_scripts.h"

#include <array>

#include "broker/ledger/failure_signature.h"
#include "broker/ledger/sqlite/sqlite_statement.h"

namespace millrace::broker {
namespace {

// Times are microseconds since 1970, states and events their names, JSON is text.
//
// - A job's place in every list is (created_at, id): each index that a list walks ends in the two,
//   so that a page costs what the page holds, however long the list is.
// - jobs_open is what a starting broker loaded (until the third version).
// - Labels stand in a table of their own, which repeats created_at for the same reason.
// - attempts have no job column: a lease is of a task, and the fence alone names it.
// - counters hold the last fence and event number ever given out, so that neither goes back when
//   rows are removed.
// - Foreign keys are on and checked at the end of the transaction: a dispatcher that forgot a row
//   fails that commit instead of leaving a ledger that cannot be loaded.
constexpr const char* kVersion1 = R"sql(
CREATE TABLE jobs (
  id              TEXT PRIMARY KEY NOT NULL,
  state           TEXT NOT NULL,
  generation      INTEGER NOT NULL,
  external_id     TEXT NOT NULL,
  created_at      INTEGER NOT NULL,
  started_at      INTEGER,
  finished_at     INTEGER,
  published_fence INTEGER NOT NULL,
  request         TEXT NOT NULL,
  input_facts     TEXT,
  media           TEXT,
  files           TEXT NOT NULL,
  warnings        TEXT NOT NULL,
  error           TEXT
);
CREATE INDEX jobs_by_time ON jobs (created_at, id);
CREATE INDEX jobs_by_state ON jobs (state, created_at, id);
CREATE INDEX jobs_by_external_id ON jobs (external_id, created_at, id) WHERE external_id <> '';
CREATE INDEX jobs_open ON jobs (created_at, id)
  WHERE state NOT IN ('succeeded', 'cancelled', 'dead');

CREATE TABLE job_labels (
  name       TEXT NOT NULL,
  value      TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  job_id     TEXT NOT NULL REFERENCES jobs (id) DEFERRABLE INITIALLY DEFERRED,
  PRIMARY KEY (name, value, created_at, job_id)
) WITHOUT ROWID;

CREATE TABLE tasks (
  id                      TEXT PRIMARY KEY NOT NULL,
  job_id                  TEXT NOT NULL REFERENCES jobs (id) DEFERRABLE INITIALLY DEFERRED,
  state                   TEXT NOT NULL,
  fence                   INTEGER NOT NULL,
  attempts_spent          INTEGER NOT NULL,
  infrastructure_failures INTEGER NOT NULL,
  crashed_workers         TEXT NOT NULL,
  last_worker             TEXT NOT NULL,
  due_at                  INTEGER,
  manifest                TEXT,
  failure                 TEXT
);
CREATE INDEX tasks_by_job ON tasks (job_id);

CREATE TABLE attempts (
  fence       INTEGER PRIMARY KEY,
  task_id     TEXT NOT NULL REFERENCES tasks (id) DEFERRABLE INITIALLY DEFERRED,
  number      INTEGER NOT NULL,
  generation  INTEGER NOT NULL,
  worker      TEXT NOT NULL,
  started_at  INTEGER NOT NULL,
  finished_at INTEGER,
  outcome     TEXT NOT NULL,
  failure     TEXT,
  versions    TEXT
);
CREATE INDEX attempts_by_task ON attempts (task_id, fence);

CREATE TABLE events (
  sequence   INTEGER PRIMARY KEY,
  job_id     TEXT NOT NULL,
  generation INTEGER NOT NULL,
  event      TEXT NOT NULL,
  state      TEXT NOT NULL,
  at         INTEGER NOT NULL
);

CREATE TABLE counters (
  name  TEXT PRIMARY KEY NOT NULL,
  value INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO counters VALUES ('fence', 0), ('sequence', 0);
)sql";

// Additions of the second version:
//
// - jobs.upload repeats the id of the upload in the request, so that the janitor can ask by it
//   whether an upload is still named.
// - jobs_ended is what retention walks: by state, the one that ended first in front.
// - dead_letters stay when the letter has left the queue. The lists of the open ones, of all, and
//   of one signature come in the order of (died_at, job_id, generation). dead_letters_poison is
//   what a starting broker loads.
// - The events of a removed job stay for a while (removed_jobs says until when) and are removed by
//   job, hence events_by_job. removed_events holds the numbers that are gone, in ranges that touch
//   no other: with the rows of events they make up every number ever given out, so that a lost row
//   can be told from a removed one.
// - job_labels_by_job is what SQLite looks into when a job is removed.
constexpr const char* kVersion2 = R"sql(
ALTER TABLE jobs ADD COLUMN idempotency_key TEXT NOT NULL DEFAULT '';
ALTER TABLE jobs ADD COLUMN request_fingerprint TEXT NOT NULL DEFAULT '';
ALTER TABLE jobs ADD COLUMN upload TEXT NOT NULL DEFAULT '';
UPDATE jobs SET upload = coalesce(json_extract(request, '$.input.upload'), '');
CREATE UNIQUE INDEX jobs_by_idempotency_key ON jobs (idempotency_key) WHERE idempotency_key <> '';
CREATE INDEX jobs_by_upload ON jobs (upload) WHERE upload <> '';
CREATE INDEX jobs_ended ON jobs (state, finished_at, id)
  WHERE state IN ('succeeded', 'cancelled', 'dead');
CREATE INDEX job_labels_by_job ON job_labels (job_id);

CREATE TABLE dead_letters (
  job_id         TEXT NOT NULL REFERENCES jobs (id) DEFERRABLE INITIALLY DEFERRED,
  generation     INTEGER NOT NULL,
  state          TEXT NOT NULL,
  died_at        INTEGER NOT NULL,
  closed_at      INTEGER,
  code           TEXT NOT NULL,
  blame          TEXT NOT NULL,
  detail         TEXT NOT NULL,
  stage          TEXT NOT NULL,
  codec          TEXT NOT NULL,
  signature      TEXT NOT NULL,
  signature_text TEXT NOT NULL,
  input_name     TEXT NOT NULL,
  input_sha256   TEXT NOT NULL,
  worker         TEXT NOT NULL,
  PRIMARY KEY (job_id, generation)
);
CREATE INDEX dead_letters_by_time ON dead_letters (died_at, job_id, generation);
CREATE INDEX dead_letters_by_state ON dead_letters (state, died_at, job_id, generation);
CREATE INDEX dead_letters_by_signature ON dead_letters (signature, died_at, job_id, generation);
CREATE INDEX dead_letters_poison ON dead_letters (died_at, job_id)
  WHERE state = 'open' AND code = 'poison' AND input_sha256 <> '';

CREATE TABLE redrives (
  id                TEXT PRIMARY KEY NOT NULL,
  state             TEXT NOT NULL,
  created_at        INTEGER NOT NULL,
  canary            TEXT NOT NULL,
  canary_generation INTEGER NOT NULL,
  waiting           TEXT NOT NULL,
  patch             TEXT
);
CREATE INDEX redrives_waiting ON redrives (created_at, id) WHERE state = 'waiting';
CREATE INDEX redrives_by_canary ON redrives (canary);

CREATE INDEX events_by_job ON events (job_id, sequence);
CREATE TABLE removed_jobs (
  last_event_at INTEGER NOT NULL,
  last_sequence INTEGER NOT NULL,
  job_id        TEXT NOT NULL,
  PRIMARY KEY (last_event_at, last_sequence)
) WITHOUT ROWID;
CREATE TABLE removed_events (
  first INTEGER PRIMARY KEY,
  last  INTEGER NOT NULL
);
)sql";

// Additions of the third version:
//
// - redrives.job_count is the number of jobs that a redrive was made for. Of a redrive that was
//   released before the column existed, only the canary is known.
// - purges holds the bulk purges, by the id that the client chose.
// - redrives_settled and purges_by_time are what retention walks.
// - A starting broker finds the jobs that have not ended through jobs_by_state. jobs_open added
//   nothing and cost each submission about 3 us.
// - jobs.last_progress is the progress last shown for a job that ended without outputs. It is
//   unknown for jobs that ended before the column existed.
constexpr const char* kVersion3 = R"sql(
ALTER TABLE redrives ADD COLUMN job_count INTEGER NOT NULL DEFAULT 0;
UPDATE redrives SET job_count = json_array_length(waiting) + (canary <> '');
CREATE INDEX redrives_settled ON redrives (created_at, id) WHERE state <> 'waiting';
CREATE TABLE purges (
  id         TEXT PRIMARY KEY NOT NULL,
  job_count  INTEGER NOT NULL,
  created_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX purges_by_time ON purges (created_at, id);
DROP INDEX jobs_open;
ALTER TABLE jobs ADD COLUMN last_progress TEXT;
)sql";

// Addition of the fourth version: the plan of a task. A job planned before jobs could have several
// tasks has a single one, which makes all of the job's spec from the job's input: its `spec` and
// `input` are NULL. A redrive with another spec plans anew; the tasks of the earlier plan stay with
// their attempts, and their generation tells them apart.
constexpr const char* kVersion4 = R"sql(
ALTER TABLE tasks ADD COLUMN generation INTEGER NOT NULL DEFAULT 1;
ALTER TABLE tasks ADD COLUMN kind TEXT NOT NULL DEFAULT 'transcode';
ALTER TABLE tasks ADD COLUMN spec TEXT;
ALTER TABLE tasks ADD COLUMN input TEXT;
ALTER TABLE tasks ADD COLUMN dependencies TEXT NOT NULL DEFAULT '[]';
UPDATE tasks SET generation = (SELECT generation FROM jobs WHERE jobs.id = tasks.job_id);
)sql";

// Writes dead letters for jobs that died before the ledger stored any.
void FillDeadLetters(SQLite::Database& database) {
  OneTime dead(database,
               "SELECT id, generation, coalesce(finished_at, created_at), error, input_facts, "
               "coalesce((SELECT last_worker FROM tasks WHERE job_id = jobs.id ORDER BY fence DESC "
               "LIMIT 1), '') FROM jobs WHERE state = 'dead'");
  OneTime insert(database,
                 "INSERT INTO dead_letters (state, job_id, generation, died_at, code, blame, "
                 "detail, stage, codec, signature, signature_text, input_name, input_sha256, "
                 "worker) VALUES ('open', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
  while (dead->Step()) {
    RowReader row(*dead);
    insert->Restart().Text(row.Text()).Integer(row.Integer()).Integer(row.Integer());
    const Error error = ErrorFromJson(row.Json());
    const FailureSignature signature = SignatureOf(error);
    insert->Text(error.traits().name)
        .Text(NameOf(error.traits().blame))
        .Text(error.what())
        .Text(signature.stage)
        .Text(signature.codec)
        .Text(signature.id)
        .Text(signature.text);
    nlohmann::json input = row.Json();
    if (!input.is_object()) input = nlohmann::json::object();
    insert->Text(input.value("name", "")).Text(input.value("sha256", "")).Text(row.Text()).Run();
  }
}

constexpr auto kSteps = std::to_array<SchemaStep>({
    {.script = kVersion1, .fill = nullptr},
    {.script = kVersion2, .fill = FillDeadLetters},
    {.script = kVersion3, .fill = nullptr},
    {.script = kVersion4, .fill = nullptr},
});

}  // namespace

std::span<const SchemaStep> SchemaSteps() { return kSteps; }

}  // namespace millrace::broker
