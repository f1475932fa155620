'use strict'
// All talk with the native module: messages of one turn of the event loop are joined, answers find who waits.

const { load } = require('./native.js')
const { fromWire, toWire, refusal } = require('./errors.js')
const makeDebug = require('debug')

const { Mailbox: Native } = load()
const loggers = { error: makeDebug('rachis:error'), warn: makeDebug('rachis:warn'), info: makeDebug('rachis:info'), debug: makeDebug('rachis:debug') }

class Mailbox {
  #native
  #lines = []
  #scheduled = false
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
    if (this.#scheduled) return
    this.#scheduled = true
    queueMicrotask(() => {
      this.#scheduled = false
      const lines = this.#lines
      this.#lines = []
      this.#native.send(lines.length === 1 ? lines[0] : lines.join('\n'))
    })
  }

  #receive() {
    const messages = JSON.parse(`[${this.#native.take()}]`)
    let isFirst = true
    for (const message of messages) {
      if (message.reply) this.#settle(message.reply.number)?.resolve(message.reply.answer)
      else if (message.failure) this.#settle(message.failure.number)?.reject(fromWire(message.failure.error))
      else if (message.call) {
        // Each in a turn of its own: a handler that blocks has nothing in its hands but its own call.
        if (isFirst) this.#serve(message.call)
        else setImmediate(() => this.#serve(message.call))
        isFirst = false
      } else if (message.event) this.#pass(message.event.node, 'event', message.event.event)
      else if (message.change) this.#pass(message.change.node, 'change', message.change.change)
      else if (message.log) this.log(message.log.level, message.log.target, message.log.text)
    }
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
    if (!this.#native.begin(number)) return
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
