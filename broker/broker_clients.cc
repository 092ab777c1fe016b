#include <algorithm>
#include <iterator>
#include <string_view>
#include <utility>

#include "broker/broker.h"
#include "broker/io/message_shape.h"
#include "broker/job_reader.h"
#include "broker/upkeep/dead_jobs.h"
#include "core/base/log.h"

// The requests of clients: each is read, decided by the dispatcher, or answered as it was before.

namespace millrace::broker {
namespace {

std::vector<DeadJob> JobsOf(Ledger& ledger, const message::Redrive& request) {
  return ReadDeadJobs(ledger, {request.job_id});
}
std::vector<DeadJob> JobsOf(Ledger& ledger, const message::Purge& request) {
  return ReadDeadJobs(ledger, {request.job_id});
}
std::vector<DeadJob> JobsOf(Ledger& ledger, const message::RedriveMany& request) {
  return ReadOpenDeadJobs(ledger, request.filter);
}
std::vector<DeadJob> JobsOf(Ledger& ledger, const message::PurgeMany& request) {
  return ReadOpenDeadJobs(ledger, request.filter);
}

// True if the ledger alone answers the request: it only asks for a count, or repeats one that was
// carried out. A dry run with a patch asks the dispatcher whether the patch fits.
bool IsAnsweredByLedger(Ledger& ledger, const message::RedriveMany& request) {
  return (request.dry_run && request.patch.is_null()) ||
         ledger.FindRedrive(request.redrive_id).has_value();
}
bool IsAnsweredByLedger(Ledger& ledger, const message::PurgeMany& request) {
  return request.dry_run || ledger.FindPurge(request.purge_id).has_value();
}
bool IsAnsweredByLedger(Ledger&, const message::Redrive&) { return false; }
bool IsAnsweredByLedger(Ledger&, const message::Purge&) { return false; }

// Returns the id of the upload that a submission is about; empty if it names another input.
std::string UploadOf(const message::Submit& submit) {
  const auto input = submit.request.find("input");
  if (input == submit.request.end() || !input->is_object()) return "";
  std::vector<FieldError> ignored;  // the dispatcher will refuse the request
  return ParseInput(*input, "", ignored).upload;
}

// Throws Error{kUploadNotFound} if the janitor has removed the upload since the submission was
// checked.
void RefuseRemovedUpload(const Janitor& janitor, const message::Submit& submit) {
  const std::string upload = UploadOf(submit);
  if (upload.empty() || !janitor.HasJustRemoved(upload)) return;
  throw Error(ErrorCode::kUploadNotFound,
              "the upload " + upload + " was not used in time and is gone");
}

bool IsInMemory(const Dispatcher& dispatcher, const message::Submit& submit) {
  return dispatcher.Find(submit.job_id) != nullptr ||
         dispatcher.FindByKey(submit.idempotency_key) != nullptr;
}

std::optional<EndedJob> FindEarlier(Ledger& ledger, const message::Submit& submit) {
  if (!submit.idempotency_key.empty()) {
    if (const std::optional<Job> job = ledger.FindJobByKey(submit.idempotency_key)) {
      return ReadEndedJob(ledger, job->id);
    }
  }
  return ReadEndedJob(ledger, submit.job_id);
}

}  // namespace

// The requests that may change something; every other one is a read.
struct Broker::Change {
  std::string_view type;
  void (Broker::*take)(const ReplyTo& to, Message message, Batch& batch);
};

const Broker::Change Broker::kChanges[] = {
    {message::kSubmit, &Broker::TakeSubmit},
    {message::kCancel, &Broker::TakeCancel},
    {message::kProbe, &Broker::TakeProbe},
    {message::kRedrive, &Broker::TakeAboutDead<message::Redrive>},
    {message::kRedriveMany, &Broker::TakeAboutDead<message::RedriveMany>},
    {message::kPurge, &Broker::TakeAboutDead<message::Purge>},
    {message::kPurgeMany, &Broker::TakeAboutDead<message::PurgeMany>},
};

void Broker::TakeClient(const Received& received, Batch& batch) {
  Message message = DecodeMessage(received.frames);
  CheckClientMessage(message);
  const auto* change = std::ranges::find(kChanges, message.type, &Change::type);
  if (change == std::end(kChanges)) {
    batch.reads.push_back({.peer = received.peer, .request = std::move(message)});
    return;
  }
  const ReplyTo to{.route = received.peer, .request_id = message.id};
  (this->*change->take)(to, std::move(message), batch);
}

void Broker::TakeSubmit(const ReplyTo& to, Message message, Batch& batch) {
  auto submit = message::Read<message::Submit>(std::move(message.body));
  const std::optional<EndedJob> ended = FindEnded(submit, batch);
  if (!ended) {
    if (suspension_) throw suspension_->cause;
    RefuseRemovedUpload(janitor_, submit);
  }
  batch.Add(dispatcher_->OnSubmit(to, std::move(submit), ended, ReadClock()));
  owed_.emplace(to.route, to.request_id);
}

std::optional<EndedJob> Broker::FindEnded(const message::Submit& submit, Batch& batch) {
  if (IsInMemory(*dispatcher_, submit)) return std::nullopt;
  const bool in_batch = batch.inserted.contains(submit.job_id) ||
                        batch.inserted_keys.contains(submit.idempotency_key);
  if (!in_batch && !FindEarlier(*ledger_, submit)) return std::nullopt;
  // Its end may be in this batch and not in the ledger yet.
  Settle(std::exchange(batch, {}));
  if (IsInMemory(*dispatcher_, submit)) return std::nullopt;
  return FindEarlier(*ledger_, submit);
}

void Broker::TakeCancel(const ReplyTo& to, Message message, Batch& batch) {
  const auto cancel = message::Read<message::Cancel>(message.body);
  if (dispatcher_->Find(cancel.job_id) == nullptr) {
    // The job has ended or never was, as its read says after the commit.
    batch.reads.push_back({.peer = to.route, .request = std::move(message)});
    return;
  }
  if (suspension_) throw suspension_->cause;
  batch.Add(dispatcher_->OnCancel(to, cancel, ReadClock()));
  owed_.emplace(to.route, to.request_id);
}

void Broker::TakeProbe(const ReplyTo& to, Message message, Batch& batch) {
  if (suspension_) throw suspension_->cause;
  auto probe = message::Read<message::Probe>(std::move(message.body));
  batch.Add(dispatcher_->OnProbe(to, std::move(probe), ReadClock()));
  owed_.emplace(to.route, to.request_id);
}

template <typename Request>
void Broker::TakeAboutDead(const ReplyTo& to, Message message, Batch& batch) {
  const auto request = message::Read<Request>(message.body);
  // Commit first, so that the ledger says what the dispatcher has decided so far, perhaps about a
  // first copy of this request.
  if (!suspension_) Settle(std::exchange(batch, {}));
  if (IsAnsweredByLedger(*ledger_, request)) {
    batch.reads.push_back({.peer = to.route, .request = std::move(message)});
    return;
  }
  if (suspension_) throw suspension_->cause;
  batch.Add(dispatcher_->OnDead(to, request, JobsOf(*ledger_, request), ReadClock()));
  owed_.emplace(to.route, to.request_id);
}

void Broker::AnswerReads(std::vector<Read> reads) {
  if (reads.empty()) return;
  const JobReader reader(
      *dispatcher_, *ledger_,
      {.refusal = RefusalOfSubmissions(), .janitor = janitor_.View(), .now = ReadClock()});
  for (Read& read : reads) {
    const std::string id = read.request.id;
    Message reply;
    try {
      reply = reader.Answer(std::move(read.request));
    } catch (const Error& error) {
      reply = ErrorReply(id, error);
    } catch (const std::exception& error) {
      LogError("a read was not expected to fail so", {{"error", error.what()}});
      reply = ErrorReply(id, Error(ErrorCode::kInternal, error.what()));
    }
    sockets_.Send(Door::kClient, read.peer, reply);
  }
}

}  // namespace millrace::broker
