// Denial: which file or directory does not let this user through, and who can change that.

import Glibc

/// The first obstacle on a path, in words, and what to do about it; nil if none is found (a lost right of root on a
/// network file system, a security module).
///
/// - Parameter isReading: the content was asked for; otherwise a change.
func denial(of path: String, isReading: Bool) -> String? {
  var place = path.hasPrefix("/") ? "/" : "."
  for name in path.split(separator: "/").dropLast() {
    place = place == "/" ? "/\(name)" : "\(place)/\(name)"
    if access(place, X_OK) != 0, errno == EACCES { return sentence(place, "enter", "x") }
  }
  if isReading { return access(path, R_OK) != 0 && errno == EACCES ? sentence(path, "read", "r") : nil }
  if access(path, W_OK) == 0 { return nil }
  guard errno != EACCES else { return sentence(path, "write to", "w") }
  let parent = Files.directory(of: path)
  return access(parent, W_OK) != 0 && errno == EACCES ? sentence(parent, "write to", "w") : nil
}

/// "bob may not read /x/y (of alice, mode 0600). …"
private func sentence(_ path: String, _ verb: String, _ right: String) -> String? {
  var facts = stat()
  guard stat(path, &facts) == 0 else { return nil }
  let (me, owner) = (User.name(), User.name(facts.st_uid))
  let what = "\(me) may not \(verb) \(path) (owner \(owner), mode \(octal(facts.st_mode & 0o7777)))"
  let remedy =
    facts.st_uid == User.current
    ? "chmod u+\(right) \(path)" : "ask \(owner) for the right, run ttrl as \(owner), or choose another path"
  return "\(what): \(remedy)"
}
