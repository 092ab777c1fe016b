/*
 * The life cycle of jobs, with leases and fences, for the model checker spin. `./dev model` checks it.
 *
 * One broker, whose ledger survives a crash and whose memory does not; two workers with one slot each;
 * one client for each job; a network that loses, repeats and reorders messages. What the programs do is
 * taken from broker/dispatcher*.cc, broker/broker.cc, broker/effect_runner.cc, broker/dispatcher/retry_policy.cc and
 * transcoder/worker/session*.cc, and carries the names that it has there. A change of those files that
 * changes what is sent, committed or repeated changes this file in the same commit.
 *
 * Faults. `faults` is how many may still happen, at any time and of any kind: the broker crashes or
 * cannot commit; a worker crashes and is started again, or never; a message is lost or delivered twice;
 * a lease ends while its worker still runs the task (frozen, cut off, slow to stop); a worker hears
 * nothing for a lease; storage refuses once; a work folder vanishes. That an encode fails is no fault: it may
 * happen to each. Reordering is free: the network is a set, any message of which may be delivered next.
 * A job of two tasks is searched without faults: one makes more than 15 million states.
 * A run of the model makes finitely many faults, so `<> ended` says: once faults stop, every job ends.
 *
 * Time is not modelled. A lease ends at no charge only when nothing else would ever move it: nobody holds
 * it, and nobody will be told of it again. Beats that would change nothing are not sent, for the same
 * reason; otherwise a run in which workers only beat would count as one in which a job never ends.
 *
 * Left out, for they change no job: probes, progress, events, priorities, encoders. A stopped run stops at
 * once, for its folder bears its fence and nobody else's. A worker that drains is one that releases.
 *
 * Properties: the invariants of Check(), the assertions in the transitions, the one of init (when nothing
 * can happen any more, every job has ended), and the LTL formula `ends`.
 *
 * Trials. To show that the model is not vacuous, TRIAL names a mistake that is built in on purpose, or a state
 * that is claimed to be out of reach; spin has to refute each. TRIAL and FAULTS come from the environment, so
 * that one compilation serves them all.
 */

#ifndef JOBS
#define JOBS 1 /* 1 or 2 */
#endif
#ifndef TASKS
#define TASKS 1 /* of each job: 1, or 2 where JOBS is 1 */
#endif
#define ALL (JOBS * TASKS)      /* tasks; in what follows `j` is one of them */
#define JOB_OF(j) ((j) / TASKS) /* the job, named by its first task */
#ifndef MAX_ATTEMPTS
#define MAX_ATTEMPTS 2 /* JobRequest::max_attempts */
#endif
#ifndef MAX_INFRASTRUCTURE
#define MAX_INFRASTRUCTURE 1 /* DispatcherOptions::max_infrastructure_failures */
#endif
#ifndef BATCH
#define BATCH 1 /* messages decided on before what was decided is committed; 2 makes ten times the states */
#endif

/* Mistakes. */
#define NO_FENCE_CHECK 1         /* a report of any fence counts */
#define REPLY_BEFORE_COMMIT 2    /* replies and orders leave before what they tell is durable */
#define DEAD_BEFORE_FOLDER 3     /* the row says dead, then the dead letter is written */
#define SUCCEEDED_BEFORE_FILES 4 /* the row says succeeded, then the files are moved */
#define DISCARD_BEFORE_COMMIT 5  /* folders are removed before the commit that makes them useless */
#define CANCEL_WHILE_PUBLISHING 6 /* a cancel is accepted while files are moved */
#define NO_REDO 7                /* a finished task whose files are gone is left alone */
#define NO_RESUME 8              /* a restarted broker takes up no publishing or burying */
#define NO_GRACE 9               /* a restarted broker waits for ever for leases to be claimed */
#define NO_RESEND 10             /* a report is sent once */
#define BURIED_WHILE_RUNNING 16  /* the dead letter is written while the other task still runs; TASKS 2 */
/* States claimed to be out of reach. */
#define NEVER_SUCCEEDED 11
#define NEVER_CANCELLED 12
#define NEVER_DEAD 13
#define NEVER_A_SECOND_ATTEMPT 14 /* that succeeds */
#define NEVER_TWO_AT_ONCE 15      /* two workers that run the same task */

byte trial, faults;

/* Each lease ends as a spent attempt or as an infrastructure failure, and the ceilings bound both. */
#define FENCES (ALL * (MAX_ATTEMPTS + MAX_INFRASTRUCTURE))
#define WORKERS 2
#define NOBODY WORKERS

/* Sets of small numbers: of fences, mostly. 0 in a set of fences is "no lease". */
#define BIT(x) (1 << (x))
#define HAS(set, x) (((set) & BIT(x)) != 0)
#define ADD(set, x) set = (set) | BIT(x)
#define DROP(set, x) set = (set) & (255 - BIT(x))

/* Kinds of messages. */
#define BROKER_KINDS 11
#define WORKER_KINDS 7
#define ASSIGN 0 /* these five: of fences */
#define CANCEL 1
#define ACK 2
#define LEASE_LOST 3 /* the answer to a report */
#define LOST 4       /* in orders, or in registered */
#define REGISTERED 5 /* 0: it is there */
#define UNKNOWN_WORKER 6

/* States of a task, and of a job of one. `publishing` is a task that is done, and a job all of whose tasks are.
 * `failed` is a task that has failed for good while the other one of its job stops, and while the dead letter of
 * the job, whose own state stays as it was, is written. `succeeded` and `dead` are told of the tasks of a job at
 * once. Of a dead job the task that did not fail is cancelled. */
mtype = { absent, queued, running, retry_wait, cancelling, publishing, failed, succeeded, cancelled, dead };
/* Outcomes of an attempt, beside running, succeeded, failed and cancelled; and what a worker reports. */
mtype = { none, lost, released, finished, crashed, broken };
/* What WorkerRegistry knows of a worker: none, this instance of it, or one that is gone. */
mtype = { here, replaced };

#define TERMINAL(s) ((s) == succeeded || (s) == cancelled || (s) == dead)

/* --- What is durable ---------------------------------------------------------------------------------------- */

typedef Record {
  mtype state = absent;
  byte fence;     /* of the last lease */
  byte spent;     /* attempts_spent */
  byte infra;     /* infrastructure_failures */
  byte crashed_on;  /* set of workers on which the encoder crashed: crashed_workers */
  byte kept;      /* set of failed attempts, whose folders a dead letter needs: KeepsFolder() */
  byte published; /* published_fence */
};

Record ledger[ALL];
mtype ledger_outcome[FENCES + 1] = none;
byte ledger_last_fence;

/* Files. `work`: complete outputs in work/<task>.<fence>/out; `logs`: work folders of failed attempts;
 * `outputs`: outputs/<job>/<fence>, here by the fence of each task; `gathered`: outputs of several tasks on their
 * way there; `letter`: dead-letter/<job>, and the logs in it. */
byte work, logs, gathered, outputs;
bool letter[ALL];
byte letter_logs[ALL];

/* --- The broker's memory: Dispatcher::Impl ------------------------------------------------------------------- */

Record mem[ALL];
mtype mem_outcome[FENCES + 1] = none;
byte last_fence;
byte holder[ALL] = NOBODY; /* the worker of Lease::instance; NOBODY: none, or unclaimed since the restart */
bool acknowledged[ALL];
bool remembers[ALL];       /* SettledAttempts knows the attempts of this job, which has ended */
mtype known[WORKERS] = here;

/* What follows from a batch: Outcome::effects. `do_send` is laid out like `to_worker` below. */
byte do_send[WORKERS * WORKER_KINDS];
byte do_reply_submit, do_reply_cancel; /* sets of jobs */
byte do_publish, do_bury, do_discard;  /* sets of jobs, jobs, fences */
byte try_later; /* jobs whose effect failed for want of storage: TryEffectLater() */

/* --- The workers: Session ------------------------------------------------------------------------------------ */

bool registered[WORKERS] = true;
byte encoding[WORKERS];       /* the fence that is being encoded; 0: idle */
byte reporting[WORKERS];      /* leases in Stage::kReporting */
mtype report[FENCES + 1] = none;
byte ended_here[WORKERS];     /* acknowledged_: against an assign that comes late */
bool gone[WORKERS];           /* ended, and not started again yet */

#define HELD(w, f) (encoding[w] == (f) || HAS(reporting[w], f))

/* Whose attempt and whose lease a fence is: every message names both beside it. */
byte job_of[FENCES + 1], worker_of[FENCES + 1];

/* --- The network: sets of messages in flight ----------------------------------------------------------------- */

byte to_broker[BROKER_KINDS];
#define SUBMITS to_broker[0] /* of jobs */
#define CANCEL_REQUESTS to_broker[1]
#define REGISTERS(w) to_broker[2 + (w)] /* of the lease that is listed, 0: none. One that lists two counts as two */
#define BEATS(w) to_broker[4 + (w)]     /* the same */
#define LATE_REGISTERS to_broker[6]     /* of workers: by an instance that is gone */
#define FINISHED to_broker[7]           /* of fences, as all that follow */
#define CRASHED to_broker[8]
#define BROKEN to_broker[9]
#define RELEASED to_broker[10]

byte to_worker[WORKERS * WORKER_KINDS];
#define MAIL(w, kind) to_worker[(w) * WORKER_KINDS + (kind)]
#define SEND(w, kind, f) ADD(do_send[(w) * WORKER_KINDS + (kind)], f)

/* --- Faults, and what clients know --------------------------------------------------------------------------- */

bool accepted[ALL];        /* a 202 has been sent to the client */
bool cancel_accepted[ALL]; /* and the answer that its cancel is in force */

#if ALL == 1
#define EACH(property) (property(0))
#define ANY(property) (property(0))
#else
#define EACH(property) (property(0) && property(1))
#define ANY(property) (property(0) || property(1))
#endif

/* The other task of the same job; the task itself if there is none. */
#if TASKS == 1
#define OTHER(j) (j)
#else
#define OTHER(j) (1 - (j))
#endif

#define ENDED(j) TERMINAL(ledger[j].state)
#define NOT_LOST(j) (!accepted[j] || ledger[j].state != absent)
#define CANCEL_HOLDS(j) (!cancel_accepted[j] || ledger[j].state == cancelling || ledger[j].state == cancelled)
#define PUBLISHED_IS_THERE(j) \
  (ledger[j].state != succeeded || (ledger[j].published != 0 && HAS(outputs, ledger[j].published)))
#define ONLY_SUCCESS_PUBLISHES(j) (ledger[j].published == 0 || ledger[j].state == succeeded)
#define LETTER_IS_COMPLETE(j) (ledger[j].state != dead || (letter[j] && letter_logs[j] == ledger[j].kept))

/* Called after each step that changes the ledger, a folder of outputs or letters, or what a client knows. */
inline Check() {
  assert(EACH(NOT_LOST));
  assert(EACH(CANCEL_HOLDS));
  assert(EACH(PUBLISHED_IS_THERE));
  assert(EACH(ONLY_SUCCESS_PUBLISHES));
  assert(EACH(LETTER_IS_COMPLETE));
  /* A job is published whole or not at all. */
  assert(TASKS == 1 || (ledger[0].state == succeeded) == (ledger[OTHER(0)].state == succeeded));
  assert(trial != NEVER_SUCCEEDED || ledger[0].state != succeeded);
  assert(trial != NEVER_CANCELLED || ledger[0].state != cancelled);
  assert(trial != NEVER_DEAD || ledger[0].state != dead);
  assert(trial != NEVER_A_SECOND_ATTEMPT || ledger[0].published < 2);
  assert(trial != NEVER_TWO_AT_ONCE || encoding[0] == 0 || encoding[1] == 0 ||
         job_of[encoding[0]] != job_of[encoding[1]])
}

/* Takes any message of a set. Faults: it is delivered and stays in flight, or it is lost. */
inline Receive(set, x, delivered) {
  if
  :: HAS(set, 0) -> x = 0
  :: HAS(set, 1) -> x = 1
  :: HAS(set, 2) -> x = 2
  :: HAS(set, 3) -> x = 3
  :: HAS(set, 4) -> x = 4
  :: HAS(set, 5) -> x = 5
  :: HAS(set, 6) -> x = 6
  fi;
  if
  :: DROP(set, x); delivered = true
  :: faults > 0 -> faults--; delivered = true
  :: faults > 0 -> faults--; DROP(set, x); delivered = false
  fi
}

/* === The broker ============================================================================================== */

#define IS_LEASED(j) (mem[j].state == running || mem[j].state == cancelling)

/* FindCurrent(): the fence decides, not who says it. */
#define CURRENT(f)                                                 \
  ((IS_LEASED(job_of[f]) && mem[job_of[f]].fence == (f)) || \
   (trial == NO_FENCE_CHECK && mem[job_of[f]].state != absent))

/* OutcomeOf(): a job that has ended is forgotten, its attempts only by a restart. */
#define OUTCOME(f) \
  ((!TERMINAL(mem[job_of[f]].state) || remembers[job_of[f]]) -> mem_outcome[f] : none)
#define SETTLED(f) (OUTCOME(f) != none && OUTCOME(f) != lost)

inline EndAttempt(j, outcome) {
  mem_outcome[mem[j].fence] = outcome;
  holder[j] = NOBODY;
  acknowledged[j] = false
}

inline EndJob(j) {
  do_discard = do_discard | mem[j].kept;
  remembers[j] = true
}

/* A task that is done has the state `publishing`; so has its job when all are. */
#define ALL_DONE(j) (mem[j].state == publishing && mem[OTHER(j)].state == publishing)

inline BeginPublish(j) {
  if
  :: trial == SUCCEEDED_BEFORE_FILES -> mem[j].published = mem[j].fence; mem[j].state = succeeded
  :: else
  fi;
  if
  :: TASKS == 1 || ALL_DONE(j) -> ADD(do_publish, JOB_OF(j) * TASKS)
  :: else
  fi
}

/* BuryOnceStopped() */
inline BuryOnceStopped(j) {
  if
  :: TASKS == 1 || mem[OTHER(j)].state != cancelling || trial == BURIED_WHILE_RUNNING -> ADD(do_bury, j)
  :: else
  fi
}

/* CancelTask(): of a job that is cancelled, or of which the other task has failed for good. */
inline CancelTask(j) {
  if
  :: mem[j].state == queued || mem[j].state == retry_wait -> mem[j].state = cancelled; remembers[j] = true
  :: mem[j].state == running ->
    mem[j].state = cancelling;
    if
    :: holder[j] != NOBODY -> SEND(holder[j], CANCEL, mem[j].fence)
    :: else
    fi
  :: else
  fi
}

/* A task of a job that ends without outputs has made its files in vain. */
inline DropDone(j) {
  if
  :: mem[j].state == publishing -> ADD(do_discard, mem[j].fence); mem[j].state = cancelled
  :: else
  fi
}

/* GiveUp() */
inline BeginBury(j) {
  if
  :: trial == DEAD_BEFORE_FOLDER -> mem[j].state = dead
  :: else -> mem[j].state = failed
  fi;
#if TASKS == 2
  CancelTask(OTHER(j));
#endif
  BuryOnceStopped(j)
}

inline StopTask(j, outcome) {
  ADD(do_discard, mem[j].fence);
  EndAttempt(j, outcome);
  mem[j].state = cancelled;
  EndJob(j);
#if TASKS == 2
  if
  :: mem[OTHER(j)].state == failed -> BuryOnceStopped(OTHER(j))
  :: else
  fi
#endif
}

/* FailTask() with an infrastructure failure, which spends no attempt. */
inline LoseTask(j, outcome) {
  if
  :: mem[j].state == cancelling -> StopTask(j, outcome)
  :: else ->
    ADD(do_discard, mem[j].fence);
    EndAttempt(j, outcome);
    mem[j].infra++;
    if
    :: mem[j].infra > MAX_INFRASTRUCTURE -> BeginBury(j)
    :: else -> mem[j].state = queued
    fi
  fi
}

/* FailTask() with a failure that spends an attempt; RetryPolicy::Judge(). */
inline FailTask(j, crash) {
  ADD(mem[j].kept, mem[j].fence);
  mem[j].spent++;
  if
  :: crash -> ADD(mem[j].crashed_on, worker_of[mem[j].fence])
  :: else
  fi;
  EndAttempt(j, failed);
  if
  :: mem[j].spent >= MAX_ATTEMPTS || mem[j].crashed_on == BIT(0) + BIT(1) -> BeginBury(j)
  :: else -> mem[j].state = retry_wait
  fi
}

/* The files of a finished attempt are gone. */
inline RedoTask(j) {
  if
  :: trial == NO_REDO
  :: else ->
    ADD(do_discard, mem[j].fence);
    EndAttempt(j, lost);
    mem[j].infra++;
    if
    :: mem[j].infra > MAX_INFRASTRUCTURE -> BeginBury(j)
    :: else -> mem[j].state = queued
    fi
  fi
}

/* Forget(): the worker is no longer there. */
inline Forget(w) {
  k = 0;
  do
  :: k < ALL ->
    if
    :: IS_LEASED(k) && holder[k] == w -> LoseTask(k, lost)
    :: else
    fi;
    k++
  :: else -> break
  od;
  k = 0;
  known[w] = none
}

inline AnswerSettled(f, outcome) {
  if
  :: OUTCOME(f) == outcome || OUTCOME(f) == cancelled -> SEND(worker_of[f], ACK, f)
  :: else -> SEND(worker_of[f], LEASE_LOST, f)
  fi
}

/* OnFinished(), OnFailed(), OnReleased(): `said` is the worker's report. */
inline OnReport(f) {
  if
  :: CURRENT(f) ->
    /* A stale fence changes nothing: this attempt has not ended, and none was begun after it. */
    assert(mem_outcome[f] == running && mem[job_of[f]].fence == f);
    if
    :: mem[job_of[f]].state == cancelling -> StopTask(job_of[f], cancelled)
    :: else ->
      if
      :: said == finished ->
        EndAttempt(job_of[f], succeeded);
        mem[job_of[f]].state = publishing;
        BeginPublish(job_of[f])
      :: said == released -> LoseTask(job_of[f], released)
      :: else -> FailTask(job_of[f], (said == crashed))
      fi
    fi;
    SEND(worker_of[f], ACK, f)
  :: else ->
    if
    :: said == finished -> AnswerSettled(f, succeeded)
    :: said == released -> AnswerSettled(f, released)
    :: else -> AnswerSettled(f, failed)
    fi
  fi
}

inline Adopt(f, w) {
  holder[job_of[f]] = w;
  acknowledged[job_of[f]] = true
}

/* What OnRegister() and OnBeat() make of a lease that is listed. */
inline OnListed(f, w) {
  if
  :: f == 0
  :: f != 0 && CURRENT(f) -> Adopt(f, w)
  :: else ->
    if
    :: SETTLED(f)
    :: else -> SEND(w, LOST, f)
    fi
  fi
}

/* Says again what the worker may have missed: assign until the lease is listed, cancel until it is released. */
inline RepeatOrders(w) {
  k = 0;
  do
  :: k < ALL ->
    if
    :: mem[k].state == running && holder[k] == w && !acknowledged[k] -> SEND(w, ASSIGN, mem[k].fence)
    :: mem[k].state == cancelling && holder[k] == w -> SEND(w, CANCEL, mem[k].fence)
    :: else
    fi;
    k++
  :: else -> break
  od;
  k = 0
}

inline OnRegister(f, w) {
  if
  :: known[w] == replaced -> Forget(w) /* its leases are not listed: a new process has none */
  :: else
  fi;
  known[w] = here;
  OnListed(f, w);
  SEND(w, REGISTERED, 0);
  RepeatOrders(w)
}

/* An instance that is gone registered before it went; it pushes out the one that is there. */
inline OnLateRegister(w) {
  if
  :: known[w] == here -> Forget(w)
  :: else
  fi;
  known[w] = replaced
}

inline OnBeat(f, w) {
  if
  :: known[w] == here -> OnListed(f, w); RepeatOrders(w)
  :: else -> SEND(w, UNKNOWN_WORKER, 0)
  fi
}

inline OnSubmit(j) {
  if
  :: mem[j].state == absent -> mem[j].state = queued; mem[OTHER(j)].state = queued
  :: else /* repeated: answered as the first time */
  fi;
  ADD(do_reply_submit, j)
}

#define FAILED(j) (mem[j].state == failed || mem[OTHER(j)].state == failed)
#define IN(j, s) (mem[j].state == s || mem[OTHER(j)].state == s)
inline OnCancel(j) {
  if
  :: !FAILED(j) && (IN(j, queued) || IN(j, retry_wait) || IN(j, running)) ->
    CancelTask(j);
#if TASKS == 2
    CancelTask(OTHER(j));
    DropDone(j);
    DropDone(OTHER(j));
#endif
    do_discard = do_discard | (mem[j].state == cancelled -> mem[j].kept : 0);
    do_discard = do_discard | (mem[OTHER(j)].state == cancelled -> mem[OTHER(j)].kept : 0);
    ADD(do_reply_cancel, j)
  :: trial == CANCEL_WHILE_PUBLISHING && mem[j].state == publishing && mem[OTHER(j)].state == publishing ->
    mem[j].state = cancelled; EndJob(j); ADD(do_reply_cancel, j)
  :: !FAILED(j) && IN(j, cancelling) && !IN(j, queued) && !IN(j, retry_wait) && !IN(j, running) ->
    ADD(do_reply_cancel, j)
  :: else /* refused */
  fi
}

/* FillSlots(). The last worker that a task failed on is avoided while another is there. A worker that is not
 * there any more may be chosen as well, until it is found out. */
#define AVOIDS(j, w) (mem[j].fence != 0 && mem_outcome[mem[j].fence] == failed && worker_of[mem[j].fence] == (w))
#if ALL == 1
#define FREE(w) (holder[0] != (w))
#else
#define FREE(w) (holder[0] != (w) && holder[1] != (w))
#endif
#define MAY_TAKE(j, w) (known[w] != none && FREE(w) && (!AVOIDS(j, w) || known[1 - (w)] == none))

inline LeaseTo(j, w) {
  last_fence++;
  mem[j].fence = last_fence;
  mem[j].state = running;
  mem_outcome[last_fence] = running;
  job_of[last_fence] = j;
  worker_of[last_fence] = w;
  holder[j] = w;
  acknowledged[j] = false;
  SEND(w, ASSIGN, last_fence)
}

inline FillSlots() {
  k = 0;
  do
  :: k < ALL ->
    if
    :: mem[k].state == queued && MAY_TAKE(k, 0) -> LeaseTo(k, 0)
    :: mem[k].state == queued && MAY_TAKE(k, 1) -> LeaseTo(k, 1)
    :: else
    fi;
    k++
  :: else -> break
  od;
  k = 0
}

inline ForgetEffects() {
  k = 0;
  do
  :: k < WORKERS * WORKER_KINDS -> do_send[k] = 0; k++
  :: else -> break
  od;
  do_reply_submit = 0;
  do_reply_cancel = 0;
  k = 0
}

inline CopyRecord(to, from) {
  to.state = from.state;
  to.fence = from.fence;
  to.spent = from.spent;
  to.infra = from.infra;
  to.crashed_on = from.crashed_on;
  to.kept = from.kept;
  to.published = from.published
}

/* MakeDispatcher(), then Resume(): after a start, and after a commit that failed. */
inline Restore() {
  ForgetEffects();
  do_publish = 0;
  do_bury = 0;
  do_discard = 0;
  try_later = 0;
  known[0] = none;
  known[1] = none;
  last_fence = ledger_last_fence;
  k = 0;
  do
  :: k < ALL ->
    CopyRecord(mem[k], ledger[k]);
    holder[k] = NOBODY;
    acknowledged[k] = IS_LEASED(k);
    remembers[k] = false;
    k++
  :: else -> break
  od;
  k = 0;
  do
  :: k < ALL ->
    if
    :: trial == NO_RESUME
    :: trial != NO_RESUME && ALL_DONE(k) -> ADD(do_publish, JOB_OF(k) * TASKS)
    :: trial != NO_RESUME && mem[k].state == failed -> BuryOnceStopped(k)
    :: else
    fi;
    k++
  :: else -> break
  od;
  k = 1;
  do
  :: k <= FENCES -> mem_outcome[k] = ledger_outcome[k]; k++
  :: else -> break
  od;
  k = 0;
  Check()
}

inline Commit() {
  k = 0;
  do
  :: k < ALL ->
    /* Nothing leads out of a terminal state, and one attempt at most is ever published. */
    assert(!TERMINAL(ledger[k].state) || mem[k].state == ledger[k].state);
    assert(ledger[k].published == 0 || mem[k].published == ledger[k].published);
    CopyRecord(ledger[k], mem[k]);
    k++
  :: else -> break
  od;
  k = 1;
  do
  :: k <= FENCES -> ledger_outcome[k] = mem_outcome[k]; k++
  :: else -> break
  od;
  k = 0;
  ledger_last_fence = last_fence;
  Check()
}

/* EffectRunner::Send(). What is sent to a worker that has gone goes nowhere. */
inline SendEffects() {
  k = 0;
  do
  :: k < WORKERS * WORKER_KINDS ->
    if
    :: !gone[k / WORKER_KINDS] -> to_worker[k] = to_worker[k] | do_send[k]
    :: else
    fi;
    k++
  :: else -> break
  od;
  k = 0;
  do
  :: k < ALL ->
    accepted[k] = accepted[k] || HAS(do_reply_submit, JOB_OF(k));
    cancel_accepted[k] = cancel_accepted[k] || HAS(do_reply_cancel, JOB_OF(k));
    k++
  :: else -> break
  od;
  ForgetEffects()
}

inline OnPublished(j) {
  mem[j].published = mem[j].fence;
  mem[j].state = succeeded;
  EndJob(j);
#if TASKS == 2
  mem[OTHER(j)].published = mem[OTHER(j)].fence;
  mem[OTHER(j)].state = succeeded;
  EndJob(OTHER(j))
#endif
}

inline OnBuried(j) {
  assert(TASKS == 1 || mem[OTHER(j)].state != cancelling);
  mem[j].state = dead;
  EndJob(j);
#if TASKS == 2
  DropDone(OTHER(j));
  EndJob(OTHER(j))
#endif
}

inline Discard(set) {
  work = work & (255 - set);
  logs = logs & (255 - set);
  set = 0
}

/* When a lease ends without a fault: nobody holds it, no assign is on its way or will be repeated. */
#define IS_HELD(f) (HELD(0, f) || HELD(1, f))
#define IS_ANNOUNCED(j) \
  (HAS(MAIL(0, ASSIGN), mem[j].fence) || HAS(MAIL(1, ASSIGN), mem[j].fence) || \
   (mem[j].state == running && !acknowledged[j] && holder[j] != NOBODY && known[holder[j]] == here))
#define IS_ABANDONED(j) \
  (!IS_HELD(mem[j].fence) && !IS_ANNOUNCED(j) && (trial != NO_GRACE || holder[j] != NOBODY))

/* A crash, or a commit that failed: both end with Restore(). */
#define CRASH faults > 0 -> faults--; d_step { Restore() }

/* Settle(): commit, then send. The files follow in steps of their own, for workers touch files as well. */
inline Settle() {
  if
  :: trial == REPLY_BEFORE_COMMIT -> d_step { SendEffects() }
  :: trial == DISCARD_BEFORE_COMMIT -> d_step { Discard(do_discard) }
  :: else
  fi;
  if
  :: CRASH
  :: d_step { Commit() };
    if
    :: CRASH
    :: d_step { SendEffects() }
    fi
  fi;
  batch = 0
}

/* Ends each decision: gives out what can be given out; the batch is settled, or more is decided on before. */
inline Conclude() {
  FillSlots();
  if
  ::  Settle()
  :: batch + 1 < BATCH -> batch++
  fi
}

#define STORES (do_publish != 0 || do_bury != 0 || do_discard != 0)
#define IDLE (batch == 0 && !STORES)
#define HAS_MAIL                                                                                          \
  ((to_broker[0] | to_broker[1] | to_broker[2] | to_broker[3] | to_broker[4] | to_broker[5] | to_broker[6] | \
    to_broker[7] | to_broker[8] | to_broker[9] | to_broker[10]) != 0)

/* Take(): x is what the message is of. */
inline OnMessage(kind, x) {
  if
  :: kind == 0 -> OnSubmit(x)
  :: kind == 1 -> OnCancel(x)
  :: kind == 2 || kind == 3 -> w = kind - 2; OnRegister(x, w)
  :: kind == 4 || kind == 5 -> w = kind - 4; OnBeat(x, w)
  :: kind == 6 -> OnLateRegister(x)
  :: kind == 7 -> said = finished; OnReport(x)
  :: kind == 8 -> said = crashed; OnReport(x)
  :: kind == 9 -> said = broken; OnReport(x)
  :: kind == 10 -> said = released; OnReport(x)
  fi;
  w = 0;
  said = none
}

/* What OnTick() may find to do. If a lease ends that somebody holds, a fault is the cause. */
#define IS_LATE(j) (IS_LEASED(j) && (IS_ABANDONED(j) || faults > 0))
#define IS_DUE(j) (IS_LATE(j) || mem[j].state == retry_wait || HAS(try_later, j))
#define IS_SILENT(w) (known[w] == replaced)

inline OnDeadline(j) {
  if
  :: HAS(try_later, j) -> /* only while publishing or failed */
    DROP(try_later, j);
    if
    :: mem[j].state == publishing -> BeginPublish(j)
    :: else -> BeginBury(j)
    fi
  :: mem[j].state == retry_wait -> mem[j].state = queued
  :: IS_LEASED(j) ->
    if
    :: IS_ABANDONED(j)
    :: else -> faults--
    fi;
    LoseTask(j, lost)
  fi
}

/* FolderMediaStore::Publish(): the files of one task are moved by one rename, unless they are there already; those
 * of two are gathered first, one after the other (Gather), and then get their place by one rename. */
#define IS_THERE(j) (HAS(outputs | gathered | work, mem[j].fence))
#define IS_LOST(j) (!HAS(outputs | work, mem[j].fence))
#define MAY_GATHER(j) (TASKS == 2 && ALL_DONE(j) && HAS(work, mem[j].fence) && IS_THERE(OTHER(j)))
inline Gather(j) {
  ADD(gathered, mem[j].fence);
  DROP(work, mem[j].fence)
}

inline Place(j) {
  ADD(outputs, mem[j].fence);
  DROP(gathered, mem[j].fence);
  DROP(work, mem[j].fence)
}

inline Publish(j) {
  DROP(do_publish, j);
  if
  :: IS_THERE(j) && IS_THERE(OTHER(j)) ->
    Place(j);
    Place(OTHER(j));
    OnPublished(j)
  :: else ->
    gathered = 0;
    if
    :: IS_LOST(j) -> RedoTask(j)
    :: else
    fi;
#if TASKS == 2
    if
    :: mem[j].state != failed && IS_LOST(OTHER(j)) -> RedoTask(OTHER(j))
    :: else
    fi
#endif
  fi
}

/* EffectRunner::BuryJob(): the rest of it; what an earlier crash left behind is removed before. */
inline WriteLetter(j) {
  letter[j] = true;
  letter_logs[j] = logs & mem[j].kept;
  DROP(do_bury, j);
  OnBuried(j)
}

/* Broker::Run(): what Step() does with a message or a deadline, and Settle() with the files. */
proctype Broker() {
  byte x, k, w, j, kind, batch;
  mtype said = none;
  bool delivered;

end:
  do
  :: atomic {
      HAS_MAIL && (batch > 0 || !STORES) ->
      if
      :: to_broker[0] != 0 -> kind = 0
      :: to_broker[1] != 0 -> kind = 1
      :: to_broker[2] != 0 -> kind = 2
      :: to_broker[3] != 0 -> kind = 3
      :: to_broker[4] != 0 -> kind = 4
      :: to_broker[5] != 0 -> kind = 5
      :: to_broker[6] != 0 -> kind = 6
      :: to_broker[7] != 0 -> kind = 7
      :: to_broker[8] != 0 -> kind = 8
      :: to_broker[9] != 0 -> kind = 9
      :: to_broker[10] != 0 -> kind = 10
      fi;
      Receive(to_broker[kind], x, delivered);
      if
      :: delivered -> d_step { OnMessage(kind, x); kind = 0; x = 0; delivered = false }; Conclude()
      :: else -> kind = 0; x = 0
      fi
    }
  :: atomic {
      IDLE && (ANY(IS_DUE) || IS_SILENT(0) || IS_SILENT(1)) ->
      if
      :: IS_DUE(0) -> d_step { OnDeadline(0) }
#if ALL > 1
      :: IS_DUE(1) -> d_step { OnDeadline(1) }
#endif
      :: IS_SILENT(0) -> d_step { Forget(0) }
      :: IS_SILENT(1) -> d_step { Forget(1) }
      fi;
      Conclude()
    }
  :: atomic {
      batch == 0 && (do_publish != 0 || do_bury != 0) ->
      d_step {
        do
        :: HAS(do_publish | do_bury, j) -> break
        :: else -> j++
        od
      };
      if
      :: HAS(do_publish, j) -> d_step { Publish(j); j = 0 }; FillSlots(); Settle()
#if TASKS == 2
      :: HAS(do_publish, j) && MAY_GATHER(j) -> d_step { Gather(j); j = 0 }
      :: HAS(do_publish, j) && MAY_GATHER(OTHER(j)) -> d_step { Gather(OTHER(j)); j = 0 }
#endif
      :: HAS(do_bury, j) && letter[j] -> d_step { letter[j] = false; letter_logs[j] = 0; j = 0; Check() }
      :: HAS(do_bury, j) && !letter[j] -> d_step { WriteLetter(j); j = 0 }; FillSlots(); Settle()
      :: faults > 0 -> d_step { faults--; DROP(do_publish, j); DROP(do_bury, j); ADD(try_later, j); j = 0 }
      fi
    }
  :: d_step { batch == 0 && do_publish == 0 && do_bury == 0 && do_discard != 0 -> Discard(do_discard) }
  :: atomic { batch > 0 -> Settle() }
  :: atomic { CRASH; batch = 0 }
  od
}

/* === The workers ============================================================================================= */

/* Beats that would change something; the comment above says why only these. */
#define NEEDS_ASSIGN(w, j) \
  (mem[j].state == running && holder[j] == (w) && !acknowledged[j] && !HELD(w, mem[j].fence) && \
   !HAS(MAIL(w, ASSIGN), mem[j].fence))
#define NEEDS_ASSIGN_HERE(j) NEEDS_ASSIGN(me, j)
#define LISTED_TELLS(w, f) \
  (CURRENT(f) -> (holder[job_of[f]] != (w) || NEEDS_CANCEL(w, f)) \
               : (!SETTLED(f) && encoding[w] == (f) && !HAS(MAIL(w, LOST), f)))
#define NEEDS_CANCEL(w, f) (mem[job_of[f]].state == cancelling && report[f] != released && !HAS(MAIL(w, CANCEL), f))

inline SendRegister(w) {
  if
  :: encoding[w] == 0 && reporting[w] == 0 -> ADD(REGISTERS(w), 0)
  :: else ->
    REGISTERS(w) = REGISTERS(w) | reporting[w];
    if
    :: encoding[w] != 0 -> ADD(REGISTERS(w), encoding[w])
    :: else
    fi
  fi
}

inline SendReport(f) {
  if
  :: report[f] == finished -> ADD(FINISHED, f)
  :: report[f] == crashed -> ADD(CRASHED, f)
  :: report[f] == broken -> ADD(BROKEN, f)
  :: report[f] == released -> ADD(RELEASED, f)
  fi
}

/* Report() */
inline Report(w, f, said) {
  report[f] = said;
  ADD(reporting[w], f);
  if
  :: registered[w] -> SendReport(f)
  :: else
  fi
}

inline EndReport(w, f) {
  DROP(reporting[w], f);
  report[f] = none
}

inline OnAssign(w, f) {
  if
  :: !registered[w] || HELD(w, f) || HAS(ended_here[w], f)
  :: else ->
    if /* LoseEarlier() */
    :: encoding[w] != 0 && encoding[w] < f && job_of[encoding[w]] == job_of[f] -> encoding[w] = 0
    :: else
    fi;
    if
    :: encoding[w] != 0 -> ADD(RELEASED, f) /* no slot: told once, assigned until it is heard */
    :: else -> encoding[w] = f; DROP(work, f) /* CreateWork() */
    fi
  fi
}

inline OnOrderToCancel(w, f) {
  if
  :: encoding[w] == f -> encoding[w] = 0; Report(w, f, released)
  :: HAS(reporting[w], f) && report[f] != released ->
    DROP(work, f); DROP(logs, f);
    Report(w, f, released)
  :: HAS(reporting[w], f) && report[f] == released
  :: else -> ADD(RELEASED, f)
  fi
}

inline OnAck(w, f) {
  if
  :: HAS(reporting[w], f) -> EndReport(w, f); ADD(ended_here[w], f)
  :: else
  fi
}

inline OnLeaseLost(w, f) {
  if
  :: HAS(reporting[w], f) -> EndReport(w, f); DROP(work, f); DROP(logs, f)
  :: encoding[w] == f -> encoding[w] = 0
  :: else
  fi
}

/* `lost` in orders or registered: a report on its way gets an answer of its own. */
inline OnLost(w, f) {
  if
  :: encoding[w] == f -> encoding[w] = 0
  :: else
  fi
}

inline OnRegistered(w) {
  registered[w] = true
}

/* The broker was silent for a lease: what runs is stopped; reports are kept. */
inline OnLeaseOver(w) {
  encoding[w] = 0;
  registered[w] = false;
  MAIL(w, REGISTERED) = 0
}

inline OnRunEnds(w, said) {
  x = encoding[w];
  encoding[w] = 0;
  if
  :: said == finished -> ADD(work, x)
  :: said == crashed || said == broken -> ADD(logs, x)
  :: else
  fi;
  Report(w, x, said);
  x = 0
}

/* The process ends, with its children. What was sent to it goes nowhere; what it has sent may still arrive. */
inline Die(w) {
  k = 1;
  do
  :: k <= FENCES ->
    if
    :: HAS(reporting[w], k) -> report[k] = none
    :: else
    fi;
    k++
  :: else -> break
  od;
  k = 0;
  encoding[w] = 0; reporting[w] = 0; ended_here[w] = 0; registered[w] = false;
  do
  :: k < WORKER_KINDS -> MAIL(w, k) = 0; k++
  :: else -> break
  od;
  k = 0;
  BEATS(w) = 0;
  if
  :: REGISTERS(w) != 0 -> REGISTERS(w) = 0; ADD(LATE_REGISTERS, w)
  :: else
  fi;
  if
  :: known[w] == here -> known[w] = replaced
  :: else
  fi;
  gone[w] = true
}

#define HAS_ORDERS                                                                                        \
  ((MAIL(me, 0) | MAIL(me, 1) | MAIL(me, 2) | MAIL(me, 3) | MAIL(me, 4) | MAIL(me, 5) | MAIL(me, 6)) != 0)

/* Dispatch() */
inline OnOrder(kind, x) {
  if
  :: kind == ASSIGN -> OnAssign(me, x)
  :: kind == CANCEL -> OnOrderToCancel(me, x)
  :: kind == ACK -> OnAck(me, x)
  :: kind == LEASE_LOST -> OnLeaseLost(me, x)
  :: kind == LOST -> OnLost(me, x)
  :: kind == REGISTERED -> OnRegistered(me)
  :: kind == UNKNOWN_WORKER -> registered[me] = false
  fi
}

#define MAY_BEAT (!gone[me] && registered[me] && !HAS(MAIL(me, UNKNOWN_WORKER), 0))
#define BEAT_WITH(f)                                                                          \
  atomic {                                                                                    \
    MAY_BEAT && HELD(me, f) && !HAS(BEATS(me), f) && (known[me] != here || LISTED_TELLS(me, f)) -> \
    ADD(BEATS(me), f)                                                                         \
  }
#define RESEND(f)                                                                             \
  atomic {                                                                                    \
    trial != NO_RESEND && !gone[me] && registered[me] && HAS(reporting[me], f) && !HAS(MAIL(me, ACK), f) &&              \
    !HAS(MAIL(me, LEASE_LOST), f) && !IN_FLIGHT(f) -> SendReport(f)                                \
  }
#define IN_FLIGHT(f) (HAS(FINISHED, f) || HAS(CRASHED, f) || HAS(BROKEN, f) || HAS(RELEASED, f))

proctype Worker(byte me) {
  byte x, k, kind;
  bool delivered;

end:
  do
  /* Tick(): register until that is answered, then beat and repeat reports. */
  :: atomic { !gone[me] && !registered[me] && REGISTERS(me) == 0 && !HAS(MAIL(me, REGISTERED), 0) -> SendRegister(me) }
  :: atomic {
      MAY_BEAT && !HAS(BEATS(me), 0) && (known[me] != here || ANY(NEEDS_ASSIGN_HERE)) -> ADD(BEATS(me), 0)
    }
  :: BEAT_WITH(1)
  :: BEAT_WITH(2)
  :: RESEND(1)
  :: RESEND(2)
#if FENCES > 2
  :: BEAT_WITH(3)
  :: RESEND(3)
#endif
#if FENCES > 3
  :: BEAT_WITH(4)
  :: RESEND(4)
#endif
#if FENCES > 4
  :: BEAT_WITH(5)
  :: BEAT_WITH(6)
  :: RESEND(5)
  :: RESEND(6)
#endif

  :: atomic {
      !gone[me] && HAS_ORDERS ->
      if
      :: MAIL(me, 0) != 0 -> kind = 0
      :: MAIL(me, 1) != 0 -> kind = 1
      :: MAIL(me, 2) != 0 -> kind = 2
      :: MAIL(me, 3) != 0 -> kind = 3
      :: MAIL(me, 4) != 0 -> kind = 4
      :: MAIL(me, 5) != 0 -> kind = 5
      :: MAIL(me, 6) != 0 -> kind = 6
      fi;
      Receive(MAIL(me, kind), x, delivered);
      if
      :: delivered -> d_step { OnOrder(kind, x); kind = 0; x = 0; delivered = false }
      :: else -> kind = 0; x = 0
      fi
    }

  /* The encode ends, well or badly. */
  :: d_step { encoding[me] != 0 -> OnRunEnds(me, finished) }
  :: d_step { encoding[me] != 0 -> OnRunEnds(me, crashed) }
#if MAX_ATTEMPTS > 2 /* else any two failures are the end of the job */
  :: d_step { encoding[me] != 0 -> OnRunEnds(me, broken) }
#endif

  /* Faults. */
  :: d_step { faults > 0 && encoding[me] != 0 -> faults--; OnRunEnds(me, released) } /* it drains */
  :: d_step { faults > 0 && registered[me] -> faults--; OnLeaseOver(me) }
  :: d_step { faults > 0 && !gone[me] -> faults--; Die(me) }
  :: d_step { faults > 0 && work != 0 && me == 0 -> faults--; work = 0 } /* somebody tidies up */
  :: atomic { gone[me] -> gone[me] = false }
  :: gone[me] && me == 1 -> break /* for ever; the other one always comes back */
  od
}

/* === The clients ============================================================================================= */

/* Submits, perhaps cancels, and repeats both where that, or the answer, is lost. An answer counts from when it
 * is sent: a client that hears of it later knows nothing that is not true by then. */
proctype Client(byte j) {
  bool cancels;

end:
  do
  :: atomic { !accepted[j] && !HAS(SUBMITS, j) -> ADD(SUBMITS, j) }
  :: atomic { accepted[j] && faults > 0 && !HAS(SUBMITS, j) -> faults--; ADD(SUBMITS, j) }
  :: atomic { accepted[j] && !cancels && !ENDED(j) -> cancels = true; ADD(CANCEL_REQUESTS, j) }
  :: atomic { cancels && faults > 0 && !HAS(CANCEL_REQUESTS, j) -> faults--; ADD(CANCEL_REQUESTS, j) }
  od
}

init {
  atomic {
    c_code {
      now.trial = getenv("TRIAL") ? atoi(getenv("TRIAL")) : 0;
      now.faults = getenv("FAULTS") ? atoi(getenv("FAULTS")) : 1;
    };
    run Broker();
    run Worker(0);
    run Worker(1);
    run Client(0);
#if JOBS > 1
    run Client(1);
#endif
  };
  /* Nothing can happen any more: then every job has ended. */
end:
  timeout -> assert(EACH(ENDED))
}

ltl ends { <> EACH(ENDED) }
