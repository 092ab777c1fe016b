#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>

#include "broker/dispatcher/dispatcher.h"
#include "broker/ledger/ledger.h"
#include "core/model/message.h"
#include "core/model/messages/client.h"
#include "core/model/messages/client_replies.h"

namespace millrace::broker {

// Reads the filter of a `list_jobs` message. Throws Error{kInvalidRequest} naming every wrong
// field.
JobFilter ParseJobFilter(const nlohmann::json& filter);

// Returns a job of the ledger that has ended; nullopt if the ledger has none of that id.
std::optional<EndedJob> ReadEndedJob(Ledger& ledger, const std::string& job_id);

// The part of the answers that only the loop knows.
struct LoopFacts {
  std::optional<std::string> refusal;  // why submissions are refused; nullopt: they are accepted
  nlohmann::json janitor;
  Now now;
};

// Answers the requests that change nothing: from memory about jobs that have not ended, from the
// ledger about all others. Used by the broker's loop, after a commit, so that nothing is shown that
// is not durable. Made for one batch; the dispatcher and the ledger must outlive it.
class JobReader {
 public:
  JobReader(const Dispatcher& dispatcher, Ledger& ledger, LoopFacts facts)
      : dispatcher_(dispatcher), ledger_(ledger), facts_(std::move(facts)) {}

  // Returns the reply to a request that changes nothing: a read, a dry run, a redrive_many or
  // purge_many that the ledger already knows, or a cancel of a job that has ended. Throws Error,
  // kProtocolError if no such request has this type.
  Message Answer(Message request) const;

 private:
  struct Row;
  static const Row kRows[];

  message::GetJobReply Reply(const message::GetJob& request) const;
  message::JobReply Reply(const message::Cancel& request) const;
  message::ListJobsReply Reply(const message::ListJobs& request) const;
  message::AttemptsReply Reply(const message::Attempts& request) const;
  message::EventsReply Reply(const message::Events& request) const;
  nlohmann::json Reply(const message::Queue& request) const;
  nlohmann::json Reply(const message::Workers& request) const;
  message::DeadLettersReply Reply(const message::DeadLetters& request) const;
  message::DeadLetterGroupsReply Reply(const message::DeadLetterGroups& request) const;
  message::DeadLetterReply Reply(const message::GetDeadLetter& request) const;
  message::GetRedriveReply Reply(const message::GetRedrive& request) const;
  message::RedriveManyReply Reply(const message::RedriveMany& request) const;
  message::PurgeManyReply Reply(const message::PurgeMany& request) const;
  message::Pong Reply(const message::Ping& request) const;

  // Reads the request, and writes its reply as the body of a message.
  template <typename Request>
  nlohmann::json BodyFor(nlohmann::json request) const;
  int64_t CountOpen(const nlohmann::json& filter) const;
  // Throws Error{kJobNotFound}.
  Job FindEnded(const std::string& job_id) const;
  nlohmann::json ViewOf(const Job& job) const;

  const Dispatcher& dispatcher_;
  Ledger& ledger_;
  const LoopFacts facts_;
};

}  // namespace millrace::broker
