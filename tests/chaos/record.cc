#include "tests/chaos/record.h"

#include <algorithm>
#include <utility>

#include "tests/system/client.h"

namespace millrace::chaos {

using nlohmann::json;

void Record::Acknowledged(const JobRecord& job, const json& shown) {
  const MutexLock lock(mutex_);
  const auto [at, is_new] = jobs_.emplace(job.id, job);
  if (!is_new) {
    violations_.push_back({"each submission is a job of its own", job.id,
                           "it was given out for " + at->second.key + " and for " + job.key});
    return;
  }
  ++open_;
  // Record it at once: a watcher must not see a later state first.
  See(at->second, shown);
}

void Record::CancelAsked(const std::string& id) {
  const MutexLock lock(mutex_);
  jobs_.at(id).cancel_asked = true;
}

void Record::CancelAcknowledged(const std::string& id) {
  const MutexLock lock(mutex_);
  jobs_.at(id).cancel_acknowledged = true;
}

void Record::Seen(const json& job) {
  const MutexLock lock(mutex_);
  See(jobs_.at(job.at("id").get<std::string>()), job);
}

void Record::See(JobRecord& known, const json& job) {
  CheckAgainst(known, job);
  int& highest = known.percents[job.at("generation").get<int>()];
  highest = std::max(highest, job.at("progress").at("percent").get<int>());
  if (known.ended.is_null() && harness::HasEnded(job)) {
    known.ended = job;
    --open_;
  }
}

void Record::CheckAgainst(const JobRecord& known, const json& job) {
  const auto blame = [&](const char* rule, const std::string& detail) {
    violations_.push_back({rule, known.id, detail});
  };
  const int percent = job.at("progress").at("percent");
  const int generation = job.at("generation");
  const std::string state = job.at("state");
  if (const auto seen = known.percents.find(generation);
      seen != known.percents.end() && percent < seen->second) {
    blame("percent never falls", "from " + std::to_string(seen->second) + " to " +
                                     std::to_string(percent) + " in " + state);
  }
  if (!known.percents.empty() && generation < known.percents.rbegin()->first) {
    blame("generations only grow", "back to " + std::to_string(generation));
  }
  if ((percent == 100) != (state == "succeeded")) {
    blame("100 percent means that the outputs are there", std::to_string(percent) + " in " + state);
  }
  if (!known.ended.is_null() &&
      (known.ended.at("state") != state || known.ended.at("generation") != generation)) {
    blame("what has ended stays as it ended",
          known.ended.at("state").get<std::string>() + " became " + state);
  }
  if (job.at("external_id") != known.key) {
    blame("a job stays what was asked for", "external_id " + job.at("external_id").dump());
  }
}

void Record::Violated(Violation violation) {
  const MutexLock lock(mutex_);
  violations_.push_back(std::move(violation));
}

std::vector<std::string> Record::Open() const {
  const MutexLock lock(mutex_);
  std::vector<std::string> open;
  for (const auto& [id, job] : jobs_) {
    if (job.ended.is_null()) open.push_back(id);
  }
  return open;
}

size_t Record::open_count() const {
  const MutexLock lock(mutex_);
  return open_;
}

size_t Record::acknowledged_count() const {
  const MutexLock lock(mutex_);
  return jobs_.size();
}

void Record::Lost(const std::string& id) {
  const MutexLock lock(mutex_);
  JobRecord& job = jobs_.at(id);
  if (!job.lost) violations_.push_back({"no acknowledged job is lost", id, "404"});
  job.lost = true;
}

void Record::Followed(const std::string& id, std::vector<int64_t> events) {
  const MutexLock lock(mutex_);
  jobs_.at(id).followed = std::move(events);
}

void Record::Redriven(const std::string& id) {
  const MutexLock lock(mutex_);
  JobRecord& job = jobs_.at(id);
  if (!job.ended.is_null()) ++open_;
  job.ended = nullptr;
}

std::vector<JobRecord> Record::Jobs() const {
  const MutexLock lock(mutex_);
  std::vector<JobRecord> all;
  for (const auto& [id, job] : jobs_) all.push_back(job);
  return all;
}

std::vector<Violation> Record::Violations() const {
  const MutexLock lock(mutex_);
  return violations_;
}

}  // namespace millrace::chaos
