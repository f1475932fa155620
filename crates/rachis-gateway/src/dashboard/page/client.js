// A client of Feathers over Socket.IO (protocol 5, Engine.IO 4): calls, logins, and events, over one websocket.

const PATIENCE = 20_000
const LONGEST_PAUSE = 10_000
// Where clients of Feathers keep their token, so a login of an application at the same origin counts here, too.
const TOKEN = 'feathers-jwt'

export class Failure extends Error {
  constructor ({ name, message, code, data, errors }) {
    super(message)
    Object.assign(this, { name: name ?? 'Error', code, data, errors })
  }
}

const away = (message) => new Failure({ name: 'Unavailable', code: 503, message })

export class Client {
  #address
  #authentication
  #socket
  #waiting = new Map()
  #number = 0
  #pause = 250
  #silence
  #interval = 60_000
  #listeners = new Set()
  #events = new Map()
  connected = false
  user = null

  /** `sockets`: where Socket.IO is; `authentication`: the service that logs in. */
  constructor (sockets, authentication) {
    const address = new URL(sockets, document.baseURI)
    address.protocol = address.protocol === 'https:' ? 'wss:' : 'ws:'
    address.search = '?EIO=4&transport=websocket'
    this.#address = address
    this.#authentication = authentication
    this.#open()
  }

  /** Calls `listener` whenever the connection or the login changes. */
  onChange (listener) {
    this.#listeners.add(listener)
  }

  /** Calls `listener` with the data of each event `name` of the service `path`. */
  on (path, name, listener) {
    this.#events.set(`${path} ${name}`, listener)
  }

  get token () {
    return localStorage.getItem(TOKEN)
  }

  /** Calls a method: `call('todos', 'get', 1)`, `call('todos', 'create', data, query)`. */
  call (path, method, ...rest) {
    if (!this.connected) return Promise.reject(away('The gateway does not answer'))
    return this.#emit([method, path, ...rest])
  }

  async logIn (credentials) {
    const login = await this.call(this.#authentication, 'create', credentials)
    localStorage.setItem(TOKEN, login.accessToken)
    this.user = login.user ?? {}
    this.#tell()
  }

  async logOut () {
    localStorage.removeItem(TOKEN)
    this.user = null
    await this.call(this.#authentication, 'remove', null).catch(() => {})
    this.#tell()
  }

  #tell () {
    this.#listeners.forEach((listener) => listener())
  }

  #open () {
    const socket = new WebSocket(this.#address)
    this.#socket = socket
    socket.onmessage = ({ data }) => this.#receive(String(data))
    socket.onclose = () => this.#closed(socket)
    this.#watch()
  }

  /** A server that says nothing for longer than it pings is gone, whatever the network thinks. */
  #watch () {
    clearTimeout(this.#silence)
    const socket = this.#socket
    this.#silence = setTimeout(() => {
      socket.close()
      this.#closed(socket)
    }, this.#interval)
  }

  #closed (socket) {
    if (socket !== this.#socket) return
    this.#socket = null
    clearTimeout(this.#silence)
    const was = this.connected
    this.connected = false
    for (const { reject, timer } of this.#waiting.values()) {
      clearTimeout(timer)
      reject(away('The connection to the gateway broke off'))
    }
    this.#waiting.clear()
    if (was) this.#tell()
    setTimeout(() => this.#open(), this.#pause * (0.5 + Math.random()))
    this.#pause = Math.min(this.#pause * 2, LONGEST_PAUSE)
  }

  #receive (packet) {
    this.#watch()
    if (packet[0] === '2') this.#socket.send('3')
    else if (packet[0] === '0') {
      const { pingInterval, pingTimeout } = JSON.parse(packet.slice(1))
      this.#interval = pingInterval + pingTimeout
      this.#socket.send('40')
    } else if (packet.startsWith('40')) this.#greet()
    else if (packet.startsWith('41')) this.#socket.close()
    else if (packet.startsWith('42')) {
      const [name, data] = JSON.parse(packet.slice(packet.indexOf('[')))
      this.#events.get(name)?.(data)
    } else if (packet.startsWith('43')) {
      const at = packet.indexOf('[')
      const number = Number(packet.slice(2, at))
      const waiting = this.#waiting.get(number)
      if (!waiting) return
      this.#waiting.delete(number)
      clearTimeout(waiting.timer)
      const [error, result] = JSON.parse(packet.slice(at))
      if (error) waiting.reject(new Failure(error))
      else waiting.resolve(result)
    }
  }

  /** Connected: logs in again before anyone is told. */
  async #greet () {
    this.connected = true
    this.#pause = 250
    if (this.token && this.#authentication) {
      try {
        const login = await this.#emit(['create', this.#authentication, { strategy: 'jwt', accessToken: this.token }])
        this.user = login.user ?? {}
      } catch (error) {
        // A login service that is away says nothing about the token.
        if (error.code === 401) localStorage.removeItem(TOKEN)
        this.user = null
      }
    }
    this.#tell()
  }

  #emit (message) {
    return new Promise((resolve, reject) => {
      const number = this.#number++
      const timer = setTimeout(() => {
        this.#waiting.delete(number)
        reject(new Failure({ name: 'Timeout', code: 408, message: `No answer within ${PATIENCE / 1000} s` }))
      }, PATIENCE)
      this.#waiting.set(number, { resolve, reject, timer })
      this.#socket.send(`42${number}${JSON.stringify(message)}`)
    })
  }
}
