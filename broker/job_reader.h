#pragma once

#include <optional>
#include <string>

#include "broker/dispatcher.h"
#include "broker/ledger.h"
#include "core/message.h"

namespace millrace {

// Reads the body of a `list_jobs` message. Throws Error{kInvalidRequest} naming every wrong field.
JobFilter ParseJobFilter(const nlohmann::json& body);

// Answers the requests that change nothing: from memory what has not ended, from the ledger the
// rest. Used by the broker's loop, after a commit, so that nothing is shown that is not durable.
// Made for one batch; the dispatcher and the ledger must outlive it.
class JobReader {
 public:
  // `refusal` is why submissions are refused at the moment; nullopt: they are accepted.
  JobReader(const Dispatcher& dispatcher, Ledger& ledger, std::optional<std::string> refusal)
      : dispatcher_(dispatcher), ledger_(ledger), refusal_(std::move(refusal)) {}

  // Returns the reply to get_job, list_jobs, attempts, queue, workers or ping; also to a submit
  // that the ledger already knows, and to a cancel of a job that has ended. Throws Error.
  Message Answer(const Message& request, Now now) const;

 private:
  nlohmann::json ReadJob(const std::string& job_id) const;
  nlohmann::json ListJobs(const nlohmann::json& body) const;
  nlohmann::json Attempts(const std::string& job_id) const;
  nlohmann::json Ping() const;
  [[noreturn]] void RefuseCancel(const std::string& job_id) const;
  // Throws Error{kJobNotFound}.
  Job FindEnded(const std::string& job_id) const;
  nlohmann::json ViewOf(const Job& job) const;

  const Dispatcher& dispatcher_;
  Ledger& ledger_;
  const std::optional<std::string> refusal_;
};

}  // namespace millrace
