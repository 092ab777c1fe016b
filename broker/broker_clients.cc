#include "broker/broker.h"
#include "broker/io/message_shape.h"
#include "broker/io/request_kind.h"
#include "broker/job_reader.h"
#include "broker/upkeep/dead_jobs.h"
#include "core/base/log.h"

// What clients ask of the broker's loop: what is read, what the dispatcher decides, and what has
// been decided before.

namespace millrace::broker {
namespace {

bool IsAboutDead(RequestKind kind) {
  return kind == RequestKind::kRedrive || kind == RequestKind::kPurge;
}

// Whether it only asks how many there are. With a patch it also asks whether that fits them.
bool IsDryRun(const Message& message) {
  return message.body.value("dry_run", false) && !message.body.contains("patch");
}

// A text of the body; empty if it is not there.
std::string TextOf(const nlohmann::json& body, const char* key) {
  const auto found = body.find(key);
  return found != body.end() && found->is_string() ? found->get<std::string>() : "";
}

}  // namespace

void Broker::TakeClient(const Received& received, Batch& batch) {
  Message message = DecodeMessage(received.frames);
  CheckClientMessage(message);
  const RequestKind kind = KindOf(message.type);
  if (kind == RequestKind::kRead || IsRead(message, batch)) {
    batch.reads.push_back({.peer = received.peer, .request = std::move(message)});
    return;
  }
  if (suspension_) throw suspension_->cause;
  if (IsAboutDead(kind)) {
    TakeAboutDead(received, message, batch);
    return;
  }
  if (message.type == message::kSubmit) RefuseRemovedUpload(message);
  batch.Add(dispatcher_->OnClient(received.peer, message, ReadClock()));
  owed_.emplace(received.peer, message.id);
}

void Broker::TakeAboutDead(const Received& received, const Message& message, Batch& batch) {
  // So that what is read is what the dispatcher has decided so far.
  Settle(std::exchange(batch, {}));
  if (suspension_) throw suspension_->cause;
  // A first copy of it may have been among that.
  if (IsRead(message, batch)) {
    batch.reads.push_back({.peer = received.peer, .request = message});
    return;
  }
  std::vector<DeadJob> jobs = ReadDeadJobsOf(*ledger_, message);
  const Now now = ReadClock();
  batch.Add(KindOf(message.type) == RequestKind::kPurge
                ? dispatcher_->OnPurge(received.peer, message, std::move(jobs), now)
                : dispatcher_->OnRedrive(received.peer, message, std::move(jobs), now));
  owed_.emplace(received.peer, message.id);
}

bool Broker::IsRead(const Message& message, const Batch& batch) const {
  if (message.type == message::kProbe) return false;
  if (IsAboutDead(KindOf(message.type))) return IsDryRun(message) || IsRepeatedMany(message);
  if (dispatcher_->Find(TextOf(message.body, "job_id")) != nullptr) return false;
  return message.type == message::kCancel || IsRepeatedSubmit(message, batch);
}

bool Broker::IsRepeatedMany(const Message& message) const {
  if (message.type == message::kRedriveMany) {
    return ledger_->FindRedrive(TextOf(message.body, "redrive_id")).has_value();
  }
  return message.type == message::kPurgeMany && !message.body.value("dry_run", false) &&
         ledger_->FindPurge(TextOf(message.body, "purge_id")).has_value();
}

bool Broker::IsRepeatedSubmit(const Message& message, const Batch& batch) const {
  // Its job has ended since, perhaps in this very batch.
  if (const std::string key = TextOf(message.body, "idempotency_key"); !key.empty()) {
    if (dispatcher_->FindByKey(key) != nullptr) return false;
    if (batch.inserted_keys.contains(key) || ledger_->FindJobByKey(key)) return true;
  }
  const std::string job_id = TextOf(message.body, "job_id");
  return batch.inserted.contains(job_id) || ledger_->FindJob(job_id).has_value();
}

void Broker::RefuseRemovedUpload(const Message& submit) const {
  const nlohmann::json& request = submit.body.at("request");
  if (!request.contains("input") || !request["input"].is_object()) return;
  const std::string upload = TextOf(request["input"], "upload");
  if (!janitor_.HasJustRemoved(upload)) return;
  throw Error(ErrorCode::kUploadNotFound,
              "the upload " + upload + " was not used in time and is gone");
}

void Broker::AnswerReads(const std::vector<Read>& reads) {
  if (reads.empty()) return;
  const JobReader reader(*dispatcher_, *ledger_,
                         {.refusal = RefusalOfSubmissions(), .janitor = janitor_.View()});
  for (const Read& read : reads) {
    Message reply;
    try {
      reply = reader.Answer(read.request, ReadClock());
    } catch (const Error& error) {
      // The job of a repeated submission was in the commit that failed.
      const bool lost = suspension_ && read.request.type == message::kSubmit;
      reply = ErrorReply(read.request.id, lost ? suspension_->cause : error);
    } catch (const std::exception& error) {
      LogError("a read was not expected to fail so", {{"error", error.what()}});
      reply = ErrorReply(read.request.id, Error(ErrorCode::kInternal, error.what()));
    }
    sockets_.Send(Door::kClient, read.peer, reply);
  }
}

}  // namespace millrace::broker
