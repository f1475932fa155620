'use strict'
// Errors on their way between nodes.

const { errors, FeathersError, BadRequest } = require('@feathersjs/errors')

class PayloadTooLarge extends FeathersError {
  constructor(message, data) {
    super(message, 'PayloadTooLarge', 413, 'payload-too-large', data)
  }
}

class UnsupportedMediaType extends FeathersError {
  constructor(message, data) {
    super(message, 'UnsupportedMediaType', 415, 'unsupported-media-type', data)
  }
}

const CLASSES = { ...errors, PayloadTooLarge, UnsupportedMediaType }

/** The error that another node has thrown. One of an unknown class keeps its name, code and class name. */
function fromWire({ name, message, code, className, data, errors: fields }) {
  const Known = Object.hasOwn(CLASSES, name) && CLASSES[name]
  const error = Known ? new Known(message, data) : new FeathersError(message, name, code, className, data)
  // As it was sent: Feathers takes an `errors` out of data, and makes an empty one.
  error.data = data
  if (fields !== undefined) error.errors = fields
  else delete error.errors
  return error
}

/** An error for another node. Of what is none of Feathers', only the message travels. */
function toWire(error) {
  if (error?.type !== 'FeathersError') {
    const message = error instanceof Error || typeof error?.message === 'string' ? error.message : String(error)
    return { name: 'GeneralError', message: message || 'Error', code: 500, className: 'general-error' }
  }
  const { name, message, code, className } = error
  const wire = { name, message, code, className }
  const data = safely(error.data)
  const fields = safely(error.errors)
  if (data !== undefined && !isEmpty(data)) wire.data = data
  if (fields !== undefined && !isEmpty(fields)) wire.errors = fields
  return wire
}

const isEmpty = (value) => typeof value === 'object' && value !== null && !Array.isArray(value) && Object.keys(value).length === 0

/** What can not travel is left out: the error itself must arrive. */
function safely(value) {
  try {
    return value === undefined ? undefined : JSON.parse(JSON.stringify(value) ?? 'null')
  } catch {
    return undefined
  }
}

/** Why something can not travel. */
function refusal(error) {
  return new BadRequest(`The call can not travel to another process: ${error.message.split('\n')[0]}`)
}

module.exports = { fromWire, toWire, refusal, PayloadTooLarge, UnsupportedMediaType }
