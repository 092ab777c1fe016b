#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>

#include "broker/dispatcher/dispatcher.h"
#include "broker/ledger/ledger.h"
#include "core/model/message.h"

namespace millrace::broker {

// Reads the body of a `list_jobs` message. Throws Error{kInvalidRequest} naming every wrong field.
JobFilter ParseJobFilter(const nlohmann::json& body);

// What only the loop knows.
struct LoopFacts {
  std::optional<std::string> refusal;  // why submissions are refused; nullopt: they are accepted
  nlohmann::json janitor;
};

// Answers the requests that change nothing: from memory what has not ended, from the ledger the
// rest. Used by the broker's loop, after a commit, so that nothing is shown that is not durable.
// Made for one batch; the dispatcher and the ledger must outlive it.
class JobReader {
 public:
  JobReader(const Dispatcher& dispatcher, Ledger& ledger, LoopFacts facts)
      : dispatcher_(dispatcher), ledger_(ledger), facts_(std::move(facts)) {}

  // Returns the reply to a request that changes nothing; also to a submit, redrive_many or
  // purge_many that the ledger already knows, to a dry run, and to a cancel of a job that has
  // ended. Throws Error.
  Message Answer(const Message& request, Now now) const;

 private:
  nlohmann::json BodyFor(const Message& request, Now now) const;
  nlohmann::json ReadJob(const std::string& job_id) const;
  // The job that an earlier submission of this one has made.
  nlohmann::json RepeatSubmit(const nlohmann::json& body) const;
  nlohmann::json ListJobs(const nlohmann::json& body) const;
  nlohmann::json Attempts(const std::string& job_id) const;
  nlohmann::json Events(const nlohmann::json& body) const;
  nlohmann::json Queue(Now now) const;
  nlohmann::json ListDeadLetters(const nlohmann::json& body) const;
  nlohmann::json GroupDeadLetters(const nlohmann::json& body) const;
  nlohmann::json ReadDeadLetter(const std::string& job_id) const;
  nlohmann::json ReadRedrive(const std::string& redrive_id) const;
  // What a redrive_many or purge_many that was made before has done, or one would do.
  nlohmann::json RedriveMany(const nlohmann::json& body) const;
  nlohmann::json PurgeMany(const nlohmann::json& body) const;
  int64_t CountOpen(const nlohmann::json& body) const;
  nlohmann::json Ping() const;
  [[noreturn]] void RefuseCancel(const std::string& job_id) const;
  // Throws Error{kJobNotFound}.
  Job FindEnded(const std::string& job_id) const;
  nlohmann::json ViewOf(const Job& job) const;

  const Dispatcher& dispatcher_;
  Ledger& ledger_;
  const LoopFacts facts_;
};

}  // namespace millrace::broker
