#include "broker/ledger/sqlite/sqlite_dead_letters.h"

#include <charconv>
#include <variant>

#include "broker/ledger/sqlite/sqlite_rows.h"

namespace millrace::broker {
namespace {

using Parameter = std::variant<std::string, int64_t>;

// Returns everything that decides which letters are listed; the order is always the same.
nlohmann::json Canonical(const DeadLetterFilter& filter) {
  const auto time = [](const std::optional<WallTime>& at) {
    return at ? nlohmann::json(ToMicroseconds(*at)) : nlohmann::json();
  };
  return nlohmann::json::array({"dead letters", filter.state, filter.code, filter.blame,
                                filter.signature, filter.stage, filter.worker,
                                time(filter.died_after), time(filter.died_before)});
}

// Returns the position's id, which names job and generation: "job_….2".
std::string PlaceOf(const DeadLetterRecord& letter) {
  return letter.job_id + "." + std::to_string(letter.generation);
}

// An id without a generation stands before the job's first.
std::pair<std::string, int64_t> ReadPlace(const std::string& id) {
  const size_t dot = id.rfind('.');
  int64_t generation = 0;
  if (dot == id.npos) return {id, generation};
  std::from_chars(id.data() + dot + 1, id.data() + id.size(), generation);
  return {id.substr(0, dot), generation};
}

// Builds "FROM … WHERE …" for a filter, with the values to bind. It names the index, so that a list
// without a usable index fails in a test instead of becoming slow as the ledger grows.
class Selection {
 public:
  explicit Selection(const DeadLetterFilter& filter) {
    sql_ = std::string(" FROM dead_letters INDEXED BY ") + IndexFor(filter) + " WHERE true";
    AddText("signature", filter.signature);
    AddText("state", filter.state);
    AddText("code", filter.code);
    AddText("blame", filter.blame);
    AddText("stage", filter.stage);
    AddText("worker", filter.worker);
    AddTime("died_at > ?", filter.died_after);
    AddTime("died_at < ?", filter.died_before);
  }

  Selection& Before(const std::optional<ListPosition>& position) {
    if (!position) return *this;
    const auto [job, generation] = ReadPlace(position->id);
    sql_ += " AND (died_at, job_id, generation) < (?, ?, ?)";
    parameters_.emplace_back(position->at);
    parameters_.emplace_back(job);
    parameters_.emplace_back(generation);
    return *this;
  }

  Selection& Then(const std::string& tail) {
    sql_ += tail;
    return *this;
  }

  Selection& Limit(size_t rows) {
    sql_ += " LIMIT ?";
    parameters_.emplace_back(static_cast<int64_t>(rows));
    return *this;
  }

  std::string Select(const std::string& columns) const { return "SELECT " + columns + sql_; }

  Execution& BindTo(Execution& execution) const {
    for (const Parameter& parameter : parameters_) {
      if (const auto* text = std::get_if<std::string>(&parameter)) {
        execution.Text(*text);
      } else {
        execution.Integer(std::get<int64_t>(parameter));
      }
    }
    return execution;
  }

 private:
  static const char* IndexFor(const DeadLetterFilter& filter) {
    if (!filter.signature.empty()) return "dead_letters_by_signature";
    return filter.state.empty() ? "dead_letters_by_time" : "dead_letters_by_state";
  }

  void AddText(const std::string& column, const std::string& value) {
    if (value.empty()) return;
    sql_ += " AND " + column + " = ?";
    parameters_.emplace_back(value);
  }

  void AddTime(const std::string& condition, const std::optional<WallTime>& time) {
    if (!time) return;
    sql_ += " AND " + condition;
    parameters_.emplace_back(ToMicroseconds(*time));
  }

  std::string sql_;
  std::vector<Parameter> parameters_;
};

constexpr const char* kNewestFirst = " ORDER BY died_at DESC, job_id DESC, generation DESC";
constexpr const char* kOldestFirst = " ORDER BY died_at, job_id, generation";

std::vector<DeadLetterRecord> ReadLetters(SQLite::Database& database, const Selection& selection) {
  OneTime query(database, selection.Select(kDeadLetterColumns));
  return ReadRows(selection.BindTo(*query), ReadDeadLetter);
}

DeadLetterGroup ReadGroup(Execution& execution) {
  RowReader row(execution);
  DeadLetterGroup group;
  group.signature = row.Text();
  group.count = row.Integer();
  group.inputs = row.Integer();
  group.first_at = row.Time();
  group.last_at = row.Time();
  return group;
}

// Describes a group in the words of its newest letter.
void AddExample(SQLite::Database& database, DeadLetterFilter filter, DeadLetterGroup& group) {
  filter.signature = group.signature;
  const auto newest = ReadLetters(database, Selection(filter).Then(kNewestFirst).Limit(1));
  if (newest.empty()) return;
  group.signature_text = newest.front().signature_text;
  group.code = newest.front().code;
  group.blame = newest.front().blame;
  group.example_job = newest.front().job_id;
}

}  // namespace

std::optional<DeadLetterRecord> FindDeadLetter(SQLite::Database& database,
                                               const std::string& job_id) {
  OneTime query(database, std::string("SELECT ") + kDeadLetterColumns +
                              " FROM dead_letters WHERE job_id = ? "
                              "ORDER BY generation DESC LIMIT 1");
  query->Text(job_id);
  if (!query->Step()) return std::nullopt;
  return ReadDeadLetter(*query);
}

std::optional<ListPosition> ReadPageToken(const DeadLetterFilter& filter) {
  return ReadPageToken(filter.page_token, Canonical(filter));
}

DeadLetterPage ListDeadLetters(SQLite::Database& database, const DeadLetterFilter& filter,
                               const std::optional<ListPosition>& from) {
  const auto page_size = static_cast<size_t>(filter.page_size);
  DeadLetterPage page;
  // Ask for one row more than the page holds, to learn whether there is a next page.
  page.letters =
      ReadLetters(database, Selection(filter).Before(from).Then(kNewestFirst).Limit(page_size + 1));
  if (page.letters.size() > page_size) {
    page.letters.pop_back();
    const DeadLetterRecord& last = page.letters.back();
    page.next_page_token =
        MakePageToken(Canonical(filter), {.at = ToMicroseconds(last.died_at), .id = PlaceOf(last)});
  }
  return page;
}

std::vector<DeadLetterRecord> OldestDeadLetters(SQLite::Database& database,
                                                const DeadLetterFilter& filter, size_t limit) {
  return ReadLetters(database, Selection(filter).Then(kOldestFirst).Limit(limit));
}

int64_t CountDeadLetters(SQLite::Database& database, const DeadLetterFilter& filter) {
  const Selection selection(filter);
  OneTime query(database, selection.Select("count(*)"));
  selection.BindTo(*query).Step();
  return RowReader(*query).Integer();
}

std::vector<DeadLetterGroup> GroupDeadLetters(SQLite::Database& database,
                                              const DeadLetterFilter& filter, size_t limit) {
  const Selection selection =
      Selection(filter)
          .Then(" GROUP BY signature ORDER BY count(*) DESC, max(died_at) DESC, signature")
          .Limit(limit);
  // Counts each letter with an unknown input as a distinct input.
  OneTime query(database,
                selection.Select("signature, count(*), count(DISTINCT CASE WHEN input_sha256 <> '' "
                                 "THEN input_sha256 ELSE job_id END), min(died_at), max(died_at)"));
  std::vector<DeadLetterGroup> groups = ReadRows(selection.BindTo(*query), ReadGroup);
  for (DeadLetterGroup& group : groups) AddExample(database, filter, group);
  return groups;
}

std::vector<std::pair<std::string, std::string>> PoisonousMedia(SQLite::Database& database) {
  // Repeats the condition of the partial index word for word; otherwise SQLite would not use it.
  OneTime query(database,
                "SELECT input_sha256, job_id FROM dead_letters INDEXED BY dead_letters_poison "
                "WHERE state = 'open' AND code = 'poison' AND input_sha256 <> '' "
                "ORDER BY died_at, job_id");
  return ReadRows(*query, [](Execution& execution) {
    RowReader row(execution);
    std::string sha256 = row.Text();
    return std::pair(std::move(sha256), row.Text());
  });
}

std::optional<RedriveRecord> FindRedrive(SQLite::Database& database, const std::string& id) {
  OneTime query(database, std::string("SELECT ") + kRedriveColumns + " FROM redrives WHERE id = ?");
  if (!query->Text(id).Step()) return std::nullopt;
  return ReadRedrive(*query);
}

std::optional<PurgeRecord> FindPurge(SQLite::Database& database, const std::string& id) {
  OneTime query(database, std::string("SELECT ") + kPurgeColumns + " FROM purges WHERE id = ?");
  if (!query->Text(id).Step()) return std::nullopt;
  return ReadPurge(*query);
}

}  // namespace millrace::broker
