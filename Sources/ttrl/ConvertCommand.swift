// ConvertCommand: `ttrl convert`, which prints a question file of another form as the JSON lines of ttrl.
//
// Its output, read again, gives the same questions. Standard error says what of the file is not in it, and how often.

import Base
import Commands
import Records
import Runs

extension Command {
  /// - Parameter data: a path, or the name of a built-in set.
  static func convert(_ data: String) throws -> Int32 {
    let file = try BuiltIn.questionFile(data)
    showJSON(file.questions.fileText, terminator: "")
    let answers = file.questions.count { $0.answer != nil }
    complain("\(counted(file.questions.count, "question")), \(grouped(answers)) with an answer")
    for (what, count) in file.leftOut { complain("left out: \(what), of \(counted(count, "question"))") }
    return ExitStatus.done
  }
}
