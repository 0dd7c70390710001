// Keeps the wall true between two renderings: counts ages, takes over what changed, and says when
// the server is lost. The server writes every word; only ages are written here, as forms.py does.

const wall = document.body, given = wall.dataset
const NBSP = '\u00a0', MINUTE = 60, HOUR = 3600, DAY = 86400
const units = given.units.split(' '), shortUnits = given.shortUnits.split(' ')

// ---- ages: cut down, never rounded up ----

export const parts = seconds => {
  const s = Math.max(0, Math.floor(seconds))
  if (s < 100) return [[s, 0]]
  if (s < 100 * MINUTE) return [[Math.floor(s / MINUTE), 1]]
  if (s >= 2 * DAY) return [[Math.floor(s / DAY), 3]]
  const hours = Math.floor(s / HOUR), minutes = Math.floor(s % HOUR / MINUTE)
  return hours < 10 && minutes ? [[hours, 2], [minutes, 1]] : [[hours, 2]]
}
const together = list => list.map(([n, unit]) => n + NBSP + units[unit]).join(NBSP)
const span = seconds => {
  const s = Math.max(0, Math.floor(seconds))
  if (s < MINUTE) return together([[s, 0]])
  if (s < HOUR) return together([[Math.floor(s / MINUTE), 1]])
  if (s < DAY) return together([[Math.floor(s / HOUR), 2], [Math.floor(s % HOUR / MINUTE), 1]])
  return together([[Math.floor(s / DAY), 3], [Math.floor(s % DAY / HOUR), 2]])
}
const time = seconds => new Date(seconds * 1000).toISOString().slice(11, 19)
export const forms = {
  tile: seconds => { const [[n, unit]] = parts(seconds); return n + shortUnits[unit] },
  span,
  countdown: seconds => seconds >= DAY ? span(seconds) : time(Math.max(0, Math.floor(seconds)))
}

// ---- the server's clock, by the page's own monotonic one ----

const monotonic = () => performance.now() / 1000
let served = Number(given.now)   // the server's clock at the last beat …
let beat = 0                     // … and the page's: at first that of the navigation, never later
let quickest = Infinity          // the least delayed beat of this connection
const silence = () => monotonic() - beat
const now = () => served + silence()

function hear (message) {
  const delay = monotonic() - message.tick
  quickest = Math.min(quickest + .001, delay)      // crept up a little, so that drift is no delay
  beat = monotonic() - (delay - quickest)          // a beat that lay in a buffer is old
  served = message.now
}

// ---- what the page shows ----

const part = name => document.querySelectorAll(`[data-part="${name}"]`)
const shown = new Map()
let title = document.title
let lateAfter = Number(given.late), lostAfter = Number(given.lost)

function write (element, seconds) {
  const form = element.dataset.form
  if (forms[form]) { element.textContent = forms[form](seconds); return }
  const list = parts(seconds).map(([n, unit]) => [String(n), units[unit]])
  if (form === 'card') {                            // the first number large, the rest beside it
    const [[n, unit], ...rest] = list
    element.firstChild.data = n
    element.querySelector('.unit').textContent = [unit, ...rest.flat()].join(NBSP)
    return
  }
  element.replaceChildren(...list.flatMap(([n, unit], i) => {   // a dial: every number large
    const small = document.createElement('small')
    small.textContent = NBSP + unit
    return [(i ? NBSP : '') + n, small]
  }))
}

function count () {
  const at = now(), stale = silence() > lostAfter, age = document.getElementById('age')
  for (const element of document.querySelectorAll('[data-since], [data-until]')) {
    const { since, until } = element.dataset
    const seconds = Math.floor(since === undefined ? until - at : at - since)
    if (element.counted !== seconds) { element.counted = seconds; write(element, seconds) }
  }
  age.parentElement.classList.toggle('is-late', at - age.dataset.since > lateAfter)
  const clock = document.getElementById('clock')
  clock.textContent = time(at + Number(given.zone))
  if (stale && !wall.classList.contains('stale')) document.getElementById('lost-at').textContent = time(served + Number(given.zone))
  wall.classList.toggle('stale', stale)
  const heading = stale ? given.staleTitle.replace('{title}', title) : title
  if (document.title !== heading) document.title = heading
}

function show (message) {
  for (const [name, html] of Object.entries(message.parts ?? {})) {
    if (shown.get(name) === html) continue          // said again is said twice to a screen reader
    shown.set(name, html)
    for (const element of part(name)) element.innerHTML = html
  }
  for (const [id, [state, word, since]] of Object.entries(message.tiles ?? {})) {
    const tile = document.getElementById('t-' + id), [said, age] = tile.querySelectorAll('span > i')
    tile.className = 'tile st-' + state
    tile.querySelector('use').setAttribute('href', '#s-' + state)
    if (said.textContent !== word) said.textContent = word
    delete age.counted
    if (since === null) { delete age.dataset.since; age.textContent = '' } else age.dataset.since = since
  }
  if (message.worse) document.getElementById('worse').textContent = message.worse
  if (message.limits) [lateAfter, lostAfter] = message.limits
  title = message.title ?? title
  const age = document.getElementById('age')
  if (message.heard !== null) age.dataset.since = message.heard
}

// ---- the connection ----

let source, opened

function connect () {
  source?.close()
  quickest = Infinity
  opened = monotonic()
  source = new EventSource(given.live)
  source.onmessage = event => {
    const message = JSON.parse(event.data)
    if (message.build && message.build !== given.build) return renew()
    hear(message)
    show(message)
    count()
  }
}

async function renew () {                           // another program or province: only if it answers
  source.close()
  if ((await fetch(location.href).catch(() => null))?.ok) location.reload()
}

let before = { wall: Date.now(), page: performance.now() }
function tick () {
  const slept = (Date.now() - before.wall - (performance.now() - before.page)) / 1000
  before = { wall: Date.now(), page: performance.now() }
  if (slept > 2) { beat -= slept; connect() }       // the machine slept: its monotonic clock stood
  else if (silence() > 5 && monotonic() - opened > 5) connect()
  count()
  setTimeout(tick, 1000 - now() * 1000 % 1000)
}

connect()
tick()
