#include "broker/ledger/sqlite/sqlite_job_list.h"

#include <algorithm>
#include <set>
#include <variant>
#include <vector>

#include "broker/ledger/sqlite/sqlite_rows.h"

namespace millrace::broker {
namespace {

using Parameter = std::variant<std::string, int64_t>;

// Returns everything that decides which jobs are listed, and in which order. The page size is left
// out because it may change between pages.
nlohmann::json Canonical(const JobFilter& filter) {
  std::vector<std::string> states;
  for (const JobState state : filter.states) states.emplace_back(NameOf(state));
  std::ranges::sort(states);
  auto labels = filter.labels;
  std::ranges::sort(labels);
  const auto time = [](const std::optional<WallTime>& at) {
    return at ? nlohmann::json(ToMicroseconds(*at)) : nlohmann::json();
  };
  return nlohmann::json::array({states, labels, filter.external_id, time(filter.created_after),
                                time(filter.created_before), filter.newest_first});
}

// Builds the statement of one page. It names the index, so that a list without a usable index fails
// in a test instead of becoming slow as the ledger grows.
class ListQuery {
 public:
  ListQuery(const JobFilter& filter, const std::optional<ListPosition>& from)
      : filter_(filter), from_(from) {
    if (!filter.labels.empty()) {
      AddLabelled();
    } else if (!filter.external_id.empty()) {
      AddPlain("jobs_by_external_id");
      AddStates();
    } else if (!filter.states.empty()) {
      AddStateByState();
    } else {
      AddPlain("jobs_by_time");
    }
    const char* direction = filter.newest_first ? " DESC" : " ASC";
    sql_ += std::string(" ORDER BY created_at") + direction + ", id" + direction + " LIMIT ?";
    // Ask for one row more than the page holds, to learn whether there is a next page.
    parameters_.emplace_back(static_cast<int64_t>(filter.page_size) + 1);
  }

  const std::string& sql() const { return sql_; }
  const std::vector<Parameter>& parameters() const { return parameters_; }

 private:
  void AddPlain(const std::string& index) {
    sql_ += std::string("SELECT ") + kJobColumns + " FROM jobs INDEXED BY " + index + " WHERE true";
    AddExternalId();
    AddRange("created_at", "id");
  }

  // SQLite merges arms that are each in order, so several states cost no more than one.
  void AddStateByState() {
    // Use a set: a state named twice must not list its jobs twice.
    for (const JobState state : std::set(filter_.states.begin(), filter_.states.end())) {
      if (!sql_.empty()) sql_ += " UNION ALL ";
      AddPlain("jobs_by_state");
      sql_ += " AND state = ?";
      parameters_.emplace_back(std::string(NameOf(state)));
    }
  }

  void AddLabelled() {
    // CROSS JOIN fixes the order of the loops: first the rows of the first label, then their jobs.
    sql_ += std::string("SELECT ") + QualifiedJobColumns() +
            " FROM job_labels AS first CROSS JOIN jobs ON jobs.id = first.job_id "
            "WHERE first.name = ? AND first.value = ?";
    parameters_.emplace_back(filter_.labels.front().first);
    parameters_.emplace_back(filter_.labels.front().second);
    AddRange("first.created_at", "first.job_id");
    for (size_t i = 1; i < filter_.labels.size(); ++i) {
      sql_ +=
          " AND EXISTS (SELECT 1 FROM job_labels AS other WHERE other.name = ? AND other.value = ? "
          "AND other.created_at = first.created_at AND other.job_id = first.job_id)";
      parameters_.emplace_back(filter_.labels[i].first);
      parameters_.emplace_back(filter_.labels[i].second);
    }
    AddExternalId();
    AddStates();
  }

  static std::string QualifiedJobColumns() {
    // The label's index has the same order as the list of jobs.
    std::string columns = kJobColumns;
    const std::string wanted = "created_at";
    columns.replace(columns.find(wanted), wanted.size(), "first.created_at AS created_at");
    columns.replace(0, 2, "first.job_id AS id");
    return columns;
  }

  void AddExternalId() {
    if (filter_.external_id.empty()) return;
    // The second condition repeats that of the partial index.
    sql_ += " AND external_id = ? AND external_id <> ''";
    parameters_.emplace_back(filter_.external_id);
  }

  void AddStates() {
    if (filter_.states.empty()) return;
    sql_ += " AND state IN (";
    for (size_t i = 0; i < filter_.states.size(); ++i) {
      sql_ += i == 0 ? "?" : ", ?";
      parameters_.emplace_back(std::string(NameOf(filter_.states[i])));
    }
    sql_ += ")";
  }

  void AddRange(const std::string& time, const std::string& id) {
    if (filter_.created_after) AddTime(time + " > ?", *filter_.created_after);
    if (filter_.created_before) AddTime(time + " < ?", *filter_.created_before);
    if (from_) {
      const std::string order = filter_.newest_first ? "<" : ">";
      sql_ += " AND (" + time + ", " + id + ") " + order + " (?, ?)";
      parameters_.emplace_back(from_->at);
      parameters_.emplace_back(from_->id);
    }
  }

  void AddTime(const std::string& condition, WallTime time) {
    sql_ += " AND " + condition;
    parameters_.emplace_back(ToMicroseconds(time));
  }

  const JobFilter& filter_;
  const std::optional<ListPosition>& from_;
  std::string sql_;
  std::vector<Parameter> parameters_;
};

}  // namespace

std::optional<ListPosition> ReadPageToken(const JobFilter& filter) {
  return ReadPageToken(filter.page_token, Canonical(filter));
}

JobPage ListJobs(SQLite::Database& database, const JobFilter& filter,
                 const std::optional<ListPosition>& from) {
  const ListQuery query(filter, from);
  SQLite::Statement statement(database, query.sql());
  Execution execution(statement);
  for (const Parameter& parameter : query.parameters()) {
    if (const auto* text = std::get_if<std::string>(&parameter)) {
      execution.Text(*text);
    } else {
      execution.Integer(std::get<int64_t>(parameter));
    }
  }
  JobPage page;
  while (execution.Step()) {
    if (page.jobs.size() == static_cast<size_t>(filter.page_size)) {
      const Job& last = page.jobs.back();
      page.next_page_token =
          MakePageToken(Canonical(filter), {.at = ToMicroseconds(last.created_at), .id = last.id});
      break;
    }
    page.jobs.push_back(ReadJob(execution));
  }
  return page;
}

}  // namespace millrace::broker
