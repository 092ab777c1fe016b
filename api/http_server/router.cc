#include "api/http_server/router.h"

#include <algorithm>
#include <stdexcept>

namespace millrace::http {
namespace {

using Part = Route::Part;

Part ParsePart(std::string_view segment) {
  if (!segment.starts_with('{')) {
    return {.kind = Part::Kind::kLiteral, .text = std::string(segment)};
  }
  if (!segment.ends_with('}')) throw std::invalid_argument("a route's '{' has no '}'");
  segment = segment.substr(1, segment.size() - 2);
  const bool rest = segment.ends_with("...");
  if (rest) segment.remove_suffix(3);
  if (segment.empty()) throw std::invalid_argument("a route's parameter has no name");
  return {.kind = rest ? Part::Kind::kRest : Part::Kind::kName, .text = std::string(segment)};
}

std::vector<Part> ParsePattern(std::string_view pattern) {
  if (!pattern.starts_with('/')) throw std::invalid_argument("a route begins with a slash");
  std::vector<Part> parts;
  while (!pattern.empty()) {
    pattern.remove_prefix(1);
    if (!parts.empty() && parts.back().kind == Part::Kind::kRest) {
      throw std::invalid_argument("a route's {name...} is its last part");
    }
    const auto segment = pattern.substr(0, pattern.find('/'));
    parts.push_back(ParsePart(segment));
    pattern.remove_prefix(segment.size());
  }
  return parts;
}

std::string Joined(const std::vector<std::string>& segments, size_t from) {
  std::string path = segments[from];
  for (size_t i = from + 1; i < segments.size(); ++i) path += "/" + segments[i];
  return path;
}

// An empty segment ("a//b", or a slash at the end) is matched by nothing but itself.
std::optional<Parameters> Matched(const std::vector<Part>& parts,
                                  const std::vector<std::string>& segments) {
  Parameters parameters;
  for (size_t i = 0; i < parts.size(); ++i) {
    if (i >= segments.size()) return std::nullopt;
    switch (parts[i].kind) {
      case Part::Kind::kLiteral:
        if (segments[i] != parts[i].text) return std::nullopt;
        break;
      case Part::Kind::kName:
        if (segments[i].empty()) return std::nullopt;
        parameters.Add(parts[i].text, segments[i]);
        break;
      case Part::Kind::kRest:
        if (std::any_of(segments.begin() + static_cast<ptrdiff_t>(i), segments.end(),
                        [](const std::string& s) { return s.empty(); })) {
          return std::nullopt;
        }
        parameters.Add(parts[i].text, Joined(segments, i));
        return parameters;
    }
  }
  if (segments.size() != parts.size()) return std::nullopt;
  return parameters;
}

bool SameShape(const Route& a, const Route& b) {
  return a.method == b.method &&
         std::equal(a.parts.begin(), a.parts.end(), b.parts.begin(), b.parts.end(),
                    [](const Part& x, const Part& y) {
                      return x.kind == y.kind &&
                             (x.kind != Part::Kind::kLiteral || x.text == y.text);
                    });
}

// More specific routes come first, so that the first match is the best one.
bool MoreSpecific(const Route& a, const Route& b) {
  return std::lexicographical_compare(a.parts.begin(), a.parts.end(), b.parts.begin(),
                                      b.parts.end(),
                                      [](const Part& x, const Part& y) { return x.kind < y.kind; });
}

}  // namespace

void Router::Add(std::string method, std::string_view pattern, Handler handler, size_t body_bytes) {
  Insert({.method = std::move(method),
          .parts = ParsePattern(pattern),
          .action = std::move(handler),
          .body_bytes = body_bytes},
         pattern);
}

void Router::AddUpload(std::string method, std::string_view pattern, UploadOpener opener) {
  Insert({.method = std::move(method), .parts = ParsePattern(pattern), .action = std::move(opener)},
         pattern);
}

void Router::Insert(Route route, std::string_view pattern) {
  for (const Route& other : routes_) {
    if (SameShape(route, other)) {
      throw std::invalid_argument("two routes for " + route.method + " " + std::string(pattern));
    }
  }
  const auto place = std::upper_bound(routes_.begin(), routes_.end(), route, MoreSpecific);
  routes_.insert(place, std::move(route));
}

std::optional<Router::Match> Router::Find(std::string_view method,
                                          const std::vector<std::string>& segments) const {
  auto match = FindExact(method, segments);
  if (!match && method == "HEAD") match = FindExact("GET", segments);
  return match;
}

std::optional<Router::Match> Router::FindExact(std::string_view method,
                                               const std::vector<std::string>& segments) const {
  for (const Route& route : routes_) {
    if (route.method != method) continue;
    if (auto parameters = Matched(route.parts, segments)) {
      return Match{.route = &route, .parameters = std::move(*parameters)};
    }
  }
  return std::nullopt;
}

std::string Router::AllowedMethods(const std::vector<std::string>& segments) const {
  std::vector<std::string> methods;
  for (const Route& route : routes_) {
    if (!Matched(route.parts, segments)) continue;
    methods.push_back(route.method);
    if (route.method == "GET") methods.emplace_back("HEAD");
  }
  if (methods.empty()) return {};
  methods.emplace_back("OPTIONS");
  std::sort(methods.begin(), methods.end());
  methods.erase(std::unique(methods.begin(), methods.end()), methods.end());
  std::string allow = methods.front();
  for (size_t i = 1; i < methods.size(); ++i) allow += ", " + methods[i];
  return allow;
}

}  // namespace millrace::http
