'use strict'
// All talk with the native module: messages of one turn of the event loop are joined, answers find who waits.

const { load } = require('./native.js')
const { AsyncResource } = require('node:async_hooks')
const { fromWire, toWire, refusal } = require('./errors.js')
const makeDebug = require('debug')

const { Mailbox: Native } = load()
const loggers = { error: makeDebug('rachis:error'), warn: makeDebug('rachis:warn'), info: makeDebug('rachis:info'), debug: makeDebug('rachis:debug') }

const flush = (mailbox) => mailbox.flush()

class Mailbox {
  #native
  #lines = []
  #scheduled = false
  /** Calls that have come and wait for their turn. */
  #turns = 0
  /** Whether what was said is not read yet, since more was to follow. */
  #isHeld = false
  #last = 0
  #pending = new Map()
  #members = new Map()
  #logs = new Set()

  constructor() {
    this.#native = new Native(() => this.#receive())
    if (loggers.debug.enabled) this.#native.verbose()
  }

  /** Makes a node that has not joined yet. Returns its number and what it is configured to. */
  create({ config, warnings, log }) {
    let node
    try {
      node = JSON.parse(this.#native.create(config))
    } catch (error) {
      throw new Error(`distribution(): ${error.message}`)
    }
    node.log = log
    if (log) this.#logs.add(log)
    for (const warning of [...warnings, ...node.warnings]) this.log('warn', 'rachis::feathers', warning)
    return node
  }

  /** Has a member hear what happens on its node. */
  attach(state, member) {
    this.#members.set(state.node.number, { state, ...member })
  }

  /** No more messages for an application. */
  forget(state) {
    this.#members.delete(state.node.number)
    this.#logs.delete(state.node.log)
  }

  /** Asks a node: `join`, `shutdown`, or an object with one of the others. */
  ask(state, what) {
    return this.#question((number) => ({ ask: { number, node: state.node.number, what } })).then((answer) => answer.result)
  }

  /** Calls a service of the mesh. Returns its answer: `result`, `dispatch` (a list of none or one), `http`. */
  call(state, call) {
    return this.#question((number) => ({ call: { number, node: state.node.number, call } }))
  }

  /** Fires an event of a service of this application. */
  emit(state, event) {
    this.#say(JSON.stringify({ emit: { node: state.node.number, event } }))
  }

  log(level, target, text) {
    loggers[level](`${target} ${text}`)
    for (const log of this.#logs) log(level, text)
    // What nobody listens to must not be lost.
    const isHeard = this.#logs.size > 0 || loggers[level].enabled
    if (!isHeard && (level === 'warn' || level === 'error')) console.warn(`rachis: ${text}`)
  }

  #question(message) {
    const number = (this.#last = (this.#last + 1) >>> 0)
    let line
    try {
      line = JSON.stringify(message(number))
    } catch (error) {
      return Promise.reject(refusal(error))
    }
    return new Promise((resolve, reject) => {
      this.#pending.set(number, { resolve, reject })
      this.#say(line)
    })
  }

  #say(line) {
    this.#lines.push(line)
    // The turn of the next call takes it along.
    if (this.#scheduled || this.#turns > 0) return
    this.#scheduled = true
    // Behind all that this turn of the event loop has to say.
    process.nextTick(flush, this)
  }

  flush() {
    this.#scheduled = false
    if (this.#lines.length === 0 && !this.#isHeld) return
    this.#isHeld = false
    this.#native.send(this.#takeLines())
  }

  #takeLines() {
    const lines = this.#lines
    if (lines.length === 0) return ''
    this.#lines = []
    return lines.length === 1 ? lines[0] : lines.join('\n')
  }

  #receive() {
    const messages = JSON.parse(`[${this.#native.take()}]`)
    const calls = []
    for (const message of messages) {
      if (message.reply) this.#settle(message.reply.number)?.resolve(message.reply.answer)
      else if (message.failure) this.#settle(message.failure.number)?.reject(fromWire(message.failure.error))
      else if (message.call) calls.push(message.call)
      else if (message.event) this.#pass(message.event.node, 'event', message.event.event)
      else if (message.change) this.#pass(message.change.node, 'change', message.change.change)
      else if (message.log) this.log(message.log.level, message.log.target, message.log.text)
    }
    if (calls.length > 0) this.#begin(calls)
  }

  /** Each in a turn of its own: a handler that blocks has nothing in its hands but its own call. */
  #begin([first, ...others]) {
    this.#turns += others.length
    // A context of its own, as the others have theirs.
    new AsyncResource('RACHIS_CALL').runInAsyncScope(() => this.#serve(first))
    for (const call of others) {
      setImmediate(() => {
        this.#turns -= 1
        this.#serve(call)
      })
    }
    // The last one may take its time.
    if (others.length > 0) setImmediate(flush, this)
  }

  #settle(number) {
    const pending = this.#pending.get(number)
    this.#pending.delete(number)
    return pending
  }

  #pass(node, kind, what) {
    const member = this.#members.get(node)
    if (!member) return
    try {
      member[kind](what)
    } catch (error) {
      this.log('error', 'rachis::feathers', `a listener failed: ${error.stack ?? error}`)
    }
  }

  /** Runs a call of another node, unless it was handed back meanwhile. */
  async #serve({ number, node, call }) {
    // What was said before goes along, since this call may block.
    const lines = this.#takeLines()
    this.#isHeld ||= lines !== ''
    if (!this.#native.begin(number, lines)) return
    let line
    try {
      const member = this.#members.get(node)
      if (!member) throw new Error('this app has left the mesh')
      line = JSON.stringify({ answer: { number, answer: await member.serve(number, call) } })
    } catch (error) {
      line = JSON.stringify({ refuse: { number, error: toWire(error) } })
    }
    this.#say(line)
  }
}

// At once: what the module calls later runs in the asynchronous context in which this was made.
const shared = new Mailbox()

module.exports = { mailbox: () => shared }
