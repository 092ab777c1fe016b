#include "broker/broker.h"

#include <algorithm>
#include <iterator>

#include "broker/io/message_shape.h"
#include "broker/upkeep/dead_jobs.h"
#include "core/base/failpoint.h"
#include "core/base/log.h"
#include "core/model/messages/worker_orders.h"

namespace millrace::broker {
namespace {

using std::chrono::milliseconds;

constexpr std::chrono::seconds kDiskLookEvery{1};

bool Assigns(const Effect& effect) {
  const auto* send = std::get_if<SendToWorker>(&effect);
  return send != nullptr && send->message.type == message::kAssign;
}

// Returns the id under which to refuse a message that could not be decoded.
std::string IdOf(const Frames& frames) {
  if (frames.size() < 3 || frames[2].size() > kMaxMessageIdBytes) return "";
  const bool printable =
      std::ranges::all_of(frames[2], [](char c) { return c > 0x20 && c < 0x7f; });
  return printable ? frames[2] : "";
}

}  // namespace

void Broker::Batch::Add(Outcome outcome) {
  for (LedgerChange& change : outcome.changes) {
    if (const auto* insert = std::get_if<InsertJob>(&change)) {
      inserted.insert(insert->job.id);
      if (!insert->job.idempotency_key.empty()) inserted_keys.insert(insert->job.idempotency_key);
    }
    changes.push_back(std::move(change));
  }
  std::ranges::move(outcome.effects, std::back_inserter(effects));
}

Broker::Broker(BrokerOptions options, std::unique_ptr<Ledger> ledger,
               std::unique_ptr<MediaStore> media, const Clock& clock)
    : options_(std::move(options)),
      clock_(clock),
      ledger_(std::move(ledger)),
      media_(std::move(media)),
      inventory_(options_.data_dir),
      sockets_(options_.endpoints, options_.dispatcher.lease),
      progress_(options_.data_dir / "run" / "progress.log"),
      files_(std::make_unique<FileThread>()),
      effects_(sockets_, peers_, *media_, inventory_, *files_),
      janitor_(options_.janitor, *ledger_, inventory_, *files_) {
  MakeDispatcher();
}

// Stop the file thread first: its work uses the other members.
Broker::~Broker() { files_.reset(); }

void Broker::Run(int stop_fd) {
  Batch first;
  first.Add(dispatcher_->Resume(ReadClock()));
  Settle(std::move(first));
  while (!draining_) {
    const Arrivals arrivals =
        sockets_.Receive(stop_fd, files_->ready_fd(), TimeUntilDue(), options_.batch_limit);
    if (arrivals.stop) {
      draining_ = true;
      dispatcher_->StartDraining();
    }
    Step(arrivals);
  }
}

Now Broker::ReadClock() const { return {.monotonic = clock_.Now(), .wall = clock_.WallNow()}; }

std::optional<milliseconds> Broker::TimeUntilDue() const {
  std::optional<MonotonicTime> due = dispatcher_->NextDeadline();
  if (suspension_) {
    due = suspension_->next_try;
  } else if (effects_.HasBuried()) {
    return milliseconds(0);  // reported while the broker was suspended
  } else if (const auto tidy = janitor_.NextStep(); tidy && (!due || *tidy < *due)) {
    due = tidy;
  }
  if (!due) return std::nullopt;
  const MonotonicTime now = clock_.Now();
  // Rounded up: waking early would mean waking again.
  return *due <= now ? milliseconds(0) : std::chrono::ceil<milliseconds>(*due - now);
}

void Broker::Step(const Arrivals& arrivals) {
  files_->RunDone();
  LookAtDisk();
  Batch batch;
  // A suspended broker could not make them durable; they are reported later.
  if (!suspension_) {
    for (const EffectResult& result : effects_.TakeBuried()) {
      batch.Add(dispatcher_->OnResult(result, ReadClock()));
    }
  }
  // Before the messages: those of a closed connection are its worker's last words.
  TakeClosed(arrivals.closed, batch);
  for (const Received& received : arrivals.messages) {
    if (Take(received, batch)) continue;
    // The decisions before it are sound; memory may not be any more.
    Settle(std::exchange(batch, {}));
    MakeDispatcher();
    batch.Add(dispatcher_->Resume(ReadClock()));
  }
  if (suspension_) {
    Settle(std::move(batch));
    TryToResume();
    return;
  }
  const std::optional<MonotonicTime> due = dispatcher_->NextDeadline();
  const Now now = ReadClock();
  if (due && *due <= now.monotonic) batch.Add(dispatcher_->OnTick(now));
  Settle(std::move(batch));
  if (!suspension_ && !draining_) Tidy();
}

void Broker::Tidy() {
  const Now now = ReadClock();
  const std::optional<MonotonicTime> due = janitor_.NextStep();
  if (!due || *due > now.monotonic) return;
  Batch batch;
  try {
    batch.Add(janitor_.Step(*dispatcher_, now));
  } catch (const Error& error) {
    Suspend(error);
    return;
  }
  Settle(std::move(batch));
}

void Broker::LookAtDisk() {
  const MonotonicTime now = clock_.Now();
  if (disk_looked_at_ && now - *disk_looked_at_ < kDiskLookEvery) return;
  disk_looked_at_ = now;
  std::optional<int64_t> free_bytes;
  try {
    free_bytes = inventory_.FreeBytes();
  } catch (const Error& error) {
    LogWarning("the free space of the media store is not known", {{"detail", error.what()}});
  }
  dispatcher_->SetDisk(free_bytes);
}

bool Broker::Take(const Received& received, Batch& batch) {
  try {
    if (received.door == Door::kClient) {
      TakeClient(received, batch);
    } else {
      TakeWorker(received, batch);
    }
    return true;
  } catch (const Error& error) {
    Refuse(received, error);
    return true;
  } catch (const ReadOnlyLedger&) {
    throw;
  } catch (const std::exception& error) {
    LogError("a message was not expected to fail so", {{"error", error.what()}});
    Refuse(received, Error(ErrorCode::kInternal, error.what()));
    return false;
  }
}

void Broker::TakeClosed(const std::vector<std::string>& peers, Batch& batch) {
  for (const std::string& peer : peers) {
    for (const std::string& instance : peers_.Close(peer, clock_.Now())) {
      // A dispatcher that is made anew gives every lease its time.
      if (!suspension_) batch.Add(dispatcher_->OnWorkerGone(instance, ReadClock()));
    }
  }
}

void Broker::TakeWorker(const Received& received, Batch& batch) {
  Message message = DecodeMessage(received.frames);
  CheckWorkerMessage(message);
  // Its process is gone, and may have a successor by now.
  if (message.type == message::kRegister && peers_.IsClosed(received.peer)) return;
  const std::string instance = InstanceOf(message);
  peers_.Learn(instance, received.peer, clock_.Now());
  if (!suspension_) {
    const Heard heard = peers_.IsConnected(instance) ? Heard::kNow : Heard::kLate;
    batch.Add(dispatcher_->OnWorker(instance, std::move(message), ReadClock(), heard));
  } else if (message.type == message::kBeat) {
    batch.effects.emplace_back(SendToWorker{
        .instance = instance, .message = message::Write(message::Orders(), message.id)});
  }
}

void Broker::Refuse(const Received& received, const Error& error) {
  LogDebug("message refused", {{"door", received.door == Door::kClient ? "client" : "worker"},
                               {"error", ToJson(error)}});
  sockets_.Send(received.door, received.peer, ErrorReply(IdOf(received.frames), error));
}

void Broker::Settle(Batch batch) {
  std::vector<LoadDead> loads;
  while (!batch.empty() || !loads.empty()) {
    if (batch.empty()) {
      // Everything is committed: the ledger has what the dispatcher decided.
      const LoadDead load = std::move(loads.back());
      loads.pop_back();
      batch.Add(Load(load));
      if (suspension_) return;
      continue;
    }
    const std::optional<std::vector<std::string>> broken = CommitAndSend(batch);
    // Now, while memory and ledger agree.
    AnswerReads(std::move(batch.reads));
    if (!broken) return;
    Batch next = CarryOut(batch, *broken);
    for (Effect& effect : batch.effects) {
      if (auto* load = std::get_if<LoadDead>(&effect)) loads.push_back(std::move(*load));
    }
    batch = std::move(next);
  }
}

std::optional<std::vector<std::string>> Broker::CommitAndSend(const Batch& batch) {
  try {
    if (!batch.changes.empty()) {
      Failpoint("broker.before_commit");
      ledger_->Commit(batch.changes);
      Failpoint("broker.after_commit");
    }
    NoteProgress(batch.effects);
    if (!batch.effects.empty()) Failpoint("broker.before_reply");
    std::vector<std::string> broken = effects_.Send(batch.effects);
    ForgetAnswered(batch.effects);
    if (std::ranges::any_of(batch.effects, Assigns)) Failpoint("broker.after_lease");
    return broken;
  } catch (const Error& error) {
    Suspend(error);
    return std::nullopt;
  }
}

Broker::Batch Broker::CarryOut(const Batch& batch, const std::vector<std::string>& broken) {
  Batch next;
  for (const std::string& instance : broken) {
    next.Add(dispatcher_->OnWorkerGone(instance, ReadClock()));
  }
  for (const EffectResult& result : effects_.Store(batch.effects)) {
    next.Add(dispatcher_->OnResult(result, ReadClock()));
  }
  return next;
}

void Broker::NoteProgress(const std::vector<Effect>& effects) {
  for (const Effect& effect : effects) {
    const auto* announce = std::get_if<Announce>(&effect);
    if (announce == nullptr) continue;
    if (const auto* shown = std::get_if<message::ProgressEvent>(&announce->event)) {
      if (dispatcher_->Find(shown->job) == nullptr) continue;
      progress_.Note(shown->job, shown->generation, shown->percent);
    } else if (const auto* event = std::get_if<message::JobEvent>(&announce->event)) {
      if (dispatcher_->Find(event->job) == nullptr) progress_.Forget(event->job);
    }
  }
  progress_.Flush();
}

Outcome Broker::Load(const LoadDead& load) {
  try {
    return dispatcher_->OnDeadLoaded(load, ReadDeadJobs(*ledger_, load.job_ids), ReadClock());
  } catch (const Error& error) {
    // Made anew, the dispatcher asks for them again.
    Suspend(error);
    return {};
  }
}

void Broker::ForgetAnswered(const std::vector<Effect>& effects) {
  for (const Effect& effect : effects) {
    if (const auto* reply = std::get_if<ReplyToClient>(&effect)) {
      owed_.erase({reply->route, reply->message.id});
    }
  }
}

void Broker::Suspend(const Error& cause) {
  LogError("the ledger cannot be written, nothing is accepted until it can",
           {{"error", ToJson(cause)}});
  for (const auto& [peer, id] : std::exchange(owed_, {})) {
    sockets_.Send(Door::kClient, peer, ErrorReply(id, cause));
  }
  suspension_ = Suspension{.cause = cause, .next_try = clock_.Now() + options_.ledger_retry};
  MakeDispatcher();
}

void Broker::TryToResume() {
  if (clock_.Now() < suspension_->next_try) return;
  try {
    ledger_->CheckWritable();
  } catch (const Error& error) {
    suspension_ = Suspension{.cause = error, .next_try = clock_.Now() + options_.ledger_retry};
    return;
  }
  LogInfo("the ledger can be written again");
  suspension_.reset();
  MakeDispatcher();
  Batch first;
  first.Add(dispatcher_->Resume(ReadClock()));
  Settle(std::move(first));
}

void Broker::MakeDispatcher() {
  Snapshot snapshot = ledger_->Load();
  snapshot.shown_percents = progress_.ShownOf(snapshot.jobs);
  dispatcher_ = std::make_unique<Dispatcher>(options_.dispatcher, std::move(snapshot), ReadClock());
  disk_looked_at_.reset();
  LookAtDisk();
  if (draining_ || suspension_) dispatcher_->StartDraining();
}

std::optional<std::string> Broker::RefusalOfSubmissions() const {
  if (suspension_) return suspension_->cause.what();
  if (draining_) return "the broker is shutting down";
  return std::nullopt;
}

}  // namespace millrace::broker
