// Units: the words that may follow a number without changing what the answer is.
//
// `5 cm` and `5` are the same answer, because a question says in which unit it asks. Only the words of this list are
// dropped. Any other word may carry meaning (`25% increase`, `5 miles north`, `2 thirds`, `500 BC`), so an answer with
// one is compared by its spelling. A unit has one canonical name, so that a list of different units (`2 ft, 3 in`) can
// keep them.
//
// Not here: how units are joined (ParserUnits), and when letters are a unit at all (LexerLetters).

enum Units {
  /// The canonical name of a unit that is written as a word of prose; nil if the word is not a unit.
  static func canonical(_ word: String) -> String? {
    if let symbol = symbols[word] { return symbol }
    let name = word.lowercased()
    if let unit = names[name] { return unit }
    // Regular plurals: `cups`, `inches`, `berries`.
    if name.hasSuffix("s"), let unit = names[String(name.dropLast())] { return unit }
    if name.hasSuffix("es"), let unit = names[String(name.dropLast(2))] { return unit }
    return name.hasSuffix("ies") ? names[name.dropLast(3) + "y"] : nil
  }

  /// Whether the word is a symbol of a unit, such as `kg`, and not its name.
  static func isSymbol(_ word: String) -> Bool { symbols[word] != nil }

  /// Symbols that can be the second factor of a unit: `kg m/s^2`, `N m`. Not N and W: `5 miles N` says where.
  static let factors: Set<String> = ["m", "s", "h", "hr", "K", "kg", "J", "min", "mol", "cm", "km", "ft", "lb"]

  /// Units of area and volume: `square feet`, `sq. ft`, `cu cm`.
  static let powers = ["square": "^2", "sq": "^2", "cubic": "^3", "cu": "^3"]

  /// Case counts in a symbol.
  private static let symbols = table(
    """
    m
    cm
    mm
    km
    dm
    nm
    ft
    in
    yd
    mi
    s sec
    ms
    min
    h hr hrs
    g
    kg
    mg
    t
    lb lbs
    oz
    L l
    mL ml
    dL
    cL
    N
    kN
    J
    kJ
    W
    kW
    kWh
    MW
    V
    C
    F
    Hz
    kHz
    MHz
    GHz
    Pa
    kPa
    MPa
    atm
    mol
    cal
    kcal
    eV
    mph
    kph kmh
    rpm
    rad
    ° deg
    ha
    dollar USD
    euro EUR
    yen JPY CNY RMB
    sterling GBP
    """)

  /// Names and what is counted. Case does not count, and a regular plural is understood.
  private static let names = table(
    """
    m meter metre
    cm centimeter centimetre
    mm millimeter millimetre
    km kilometer kilometre
    dm decimeter decimetre
    ft foot feet
    in inch
    yd yard
    mi mile
    nautical-mile knot
    light-year lightyear
    s second
    ms millisecond
    min minute
    h hour
    day
    week
    month
    year
    g gram gramme
    kg kilogram kilo
    mg milligram
    t ton tonne
    lb pound
    oz ounce
    L liter litre
    mL milliliter millilitre
    gallon gal
    quart qt
    pint pt
    cup
    tablespoon tbsp
    teaspoon tsp
    bushel
    acre
    ha hectare
    N newton
    J joule
    W watt
    kW kilowatt
    V volt
    A ampere amp
    ohm
    K kelvin
    Hz hertz
    Pa pascal
    mol mole
    cal calorie
    rad radian
    ° degree
    % percent pct
    dollar buck
    cent penny pennies
    euro
    yen yuan
    rupee
    peso
    franc
    unit
    bit
    byte
    animal
    answer
    apple
    arrangement
    bag
    ball
    banana
    bead
    bean
    bird
    block
    book
    bottle
    box
    brick
    bus
    candy
    car
    card
    cat
    chair
    chicken
    child children
    choice
    coin
    combination
    cookie
    cow
    crayon
    cube
    customer
    diagonal
    digit
    divisor
    dog
    edge
    egg
    element
    employee
    face
    factor
    family
    fish
    flower
    friend
    fruit
    game
    goat
    group
    guest
    handshake
    hat
    horse
    house
    integer
    item
    jar
    kid
    letter
    marble
    member
    mouse mice
    notebook
    number
    object
    orange-fruit oranges
    outcome
    page
    path
    pear
    pebble
    pen
    pencil
    people person
    permutation
    piece
    pizza
    player
    plant
    point
    possibility
    problem
    question
    rabbit
    rectangle
    region
    root
    rope
    route
    row
    sandwich
    scholar
    seat
    sheep
    shirt
    sheet
    shoe
    side
    slice
    solution
    square
    step
    sticker
    stone
    student
    subset
    table
    team
    term
    ticket
    tile
    toy
    tree
    triangle
    trip
    value
    vertex vertices
    vote
    way
    word
    worker
    zero
    个 個 개
    人 名 位 명
    只 隻
    本
    次
    种 種
    条 條
    张 張
    块 塊
    件
    辆
    棵
    支
    颗
    yen 元 圆 圓 円 원
    m 米
    cm 厘米
    mm 毫米
    km 千米 公里
    dm 分米
    kg 千克 公斤
    g 克
    t 吨
    L 升
    mL 毫升
    day 天 日
    h 小时 小時
    min 分钟 分鐘
    s 秒
    year 年
    岁 歲
    页 頁
    ° 度
    m^2 平方米
    cm^2 平方厘米
    m^3 立方米
    cm^3 立方厘米
    """)

  /// Each line: the canonical name, then other spellings. The canonical name is a spelling too.
  private static func table(_ lines: String) -> [String: String] {
    var table: [String: String] = [:]
    for line in lines.split(separator: "\n") {
      let words = line.split(separator: " ").map { String($0) }
      for word in words { table[word] = words[0] }
    }
    return table
  }
}
