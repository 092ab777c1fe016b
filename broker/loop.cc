#include "broker/loop.h"

#include <algorithm>
#include <iterator>
#include <random>

#include "broker/job_reader.h"
#include "broker/message_shape.h"
#include "core/log.h"

namespace millrace {
namespace {

using std::chrono::milliseconds;

bool ChangesNothing(std::string_view type) {
  return type == client::kGetJob || type == client::kListJobs || type == client::kAttempts ||
         type == client::kQueue || type == client::kWorkers || type == client::kPing;
}

// The id to answer a message with that could not be decoded.
std::string IdOf(const Frames& frames) {
  if (frames.size() < 3 || frames[2].size() > kMaxMessageIdBytes) return "";
  const bool printable =
      std::ranges::all_of(frames[2], [](char c) { return c > 0x20 && c < 0x7f; });
  return printable ? frames[2] : "";
}

BrokerOptions WithRandom(BrokerOptions options) {
  if (!options.dispatcher.random) {
    options.dispatcher.random = [engine = std::mt19937_64(std::random_device()())]() mutable {
      return std::uniform_real_distribution<double>(0, 1)(engine);
    };
  }
  return options;
}

}  // namespace

void Broker::Batch::Add(Outcome outcome) {
  for (LedgerChange& change : outcome.changes) {
    if (const auto* insert = std::get_if<InsertJob>(&change)) inserted.insert(insert->job.id);
    changes.push_back(std::move(change));
  }
  std::ranges::move(outcome.effects, std::back_inserter(effects));
}

Broker::Broker(BrokerOptions options, std::unique_ptr<Ledger> ledger,
               std::unique_ptr<MediaStore> media, const Clock& clock)
    : options_(WithRandom(std::move(options))),
      clock_(clock),
      ledger_(std::move(ledger)),
      media_(std::move(media)),
      sockets_(options_.endpoints),
      effects_(sockets_, peers_, *media_) {
  MakeDispatcher();
}

Broker::~Broker() = default;

void Broker::Run(int stop_fd) {
  Batch first;
  first.Add(dispatcher_->Resume(ReadClock()));
  Settle(std::move(first));
  while (!draining_) {
    const Arrivals arrivals = sockets_.Receive(stop_fd, TimeUntilDue(), options_.batch_limit);
    if (arrivals.stop) {
      draining_ = true;
      dispatcher_->StartDraining();
    }
    Step(arrivals.messages);
  }
}

Now Broker::ReadClock() const { return {.monotonic = clock_.Now(), .wall = clock_.WallNow()}; }

std::optional<milliseconds> Broker::TimeUntilDue() const {
  const std::optional<MonotonicTime> due =
      suspension_ ? suspension_->next_try : dispatcher_->NextDeadline();
  if (!due) return std::nullopt;
  // Rounded up: waking early would mean waking again.
  return std::max(milliseconds(0), std::chrono::ceil<milliseconds>(*due - clock_.Now()));
}

void Broker::Step(const std::vector<Received>& messages) {
  Batch batch;
  for (const Received& received : messages) {
    if (Take(received, batch)) continue;
    // What was decided before is sound; what is in memory now may not be.
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
  } catch (const std::exception& error) {
    LogError("a message was not expected to fail so", {{"error", error.what()}});
    Refuse(received, Error(ErrorCode::kInternal, error.what()));
    return false;
  }
}

void Broker::TakeClient(const Received& received, Batch& batch) {
  Message message = DecodeMessage(received.frames);
  CheckClientMessage(message);
  if (ChangesNothing(message.type) || IsRead(message, batch)) {
    batch.reads.push_back({.peer = received.peer, .request = std::move(message)});
    return;
  }
  if (suspension_) throw suspension_->cause;
  batch.Add(dispatcher_->OnClient(received.peer, message, ReadClock()));
  owed_.emplace(received.peer, message.id);
}

bool Broker::IsRead(const Message& message, const Batch& batch) const {
  if (message.type == client::kProbe) return false;
  const auto& job_id = message.body.at("job_id").get_ref<const std::string&>();
  if (dispatcher_->Find(job_id) != nullptr) return false;
  if (message.type == client::kCancel) return true;
  // A submit that is repeated after its job has ended, perhaps in this very batch.
  return batch.inserted.contains(job_id) || ledger_->FindJob(job_id).has_value();
}

void Broker::TakeWorker(const Received& received, Batch& batch) {
  const Message message = DecodeMessage(received.frames);
  CheckWorkerMessage(message);
  const auto& instance = message.body.at("instance").get_ref<const std::string&>();
  peers_.Learn(instance, received.peer, clock_.Now());
  if (!suspension_) {
    batch.Add(dispatcher_->OnWorker(instance, message, ReadClock()));
  } else if (message.type == worker::kBeat) {
    batch.effects.emplace_back(SendToWorker{
        .instance = instance,
        .message = {
            .type = std::string(worker::kOrders),
            .id = message.id,
            .body = {{"cancel", nlohmann::json::array()}, {"lost", nlohmann::json::array()}}}});
  }
}

void Broker::Refuse(const Received& received, const Error& error) {
  LogDebug("message refused", {{"door", received.door == Door::kClient ? "client" : "worker"},
                               {"error", ToJson(error)}});
  sockets_.Send(received.door, received.peer, ErrorReply(IdOf(received.frames), error));
}

void Broker::Settle(Batch batch) {
  while (!batch.empty()) {
    try {
      ledger_->Commit(batch.changes);
    } catch (const Error& error) {
      Suspend(error);
      AnswerReads(batch.reads);
      return;
    }
    const std::vector<std::string> broken = effects_.Send(batch.effects);
    ForgetAnswered(batch.effects);
    // Now, while memory and ledger agree.
    AnswerReads(batch.reads);
    Batch next;
    for (const std::string& instance : broken) {
      next.Add(dispatcher_->OnWorkerGone(instance, ReadClock()));
    }
    effects_.Store(
        batch.effects, *dispatcher_, [this] { return ReadClock(); },
        [&next](Outcome outcome) { next.Add(std::move(outcome)); });
    batch = std::move(next);
  }
}

void Broker::AnswerReads(const std::vector<Read>& reads) {
  if (reads.empty()) return;
  const JobReader reader(*dispatcher_, *ledger_, RefusalOfSubmissions());
  for (const Read& read : reads) {
    Message reply;
    try {
      reply = reader.Answer(read.request, ReadClock());
    } catch (const Error& error) {
      reply = ErrorReply(read.request.id, error);
    } catch (const std::exception& error) {
      LogError("a read was not expected to fail so", {{"error", error.what()}});
      reply = ErrorReply(read.request.id, Error(ErrorCode::kInternal, error.what()));
    }
    sockets_.Send(Door::kClient, read.peer, reply);
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
  dispatcher_ = std::make_unique<Dispatcher>(options_.dispatcher, ledger_->Load(), ReadClock());
  if (draining_ || suspension_) dispatcher_->StartDraining();
}

std::optional<std::string> Broker::RefusalOfSubmissions() const {
  if (suspension_) return suspension_->cause.what();
  if (draining_) return "the broker is shutting down";
  return std::nullopt;
}

}  // namespace millrace
