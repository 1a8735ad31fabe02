# Los nombres de los mensajes y de sus variables son los de en.ftl.

month-1 = enero
month-2 = febrero
month-3 = marzo
month-4 = abril
month-5 = mayo
month-6 = junio
month-7 = julio
month-8 = agosto
month-9 = septiembre
month-10 = octubre
month-11 = noviembre
month-12 = diciembre
moment = { $day } de { $month } de { $year } a las { $time } UTC

flagged-name = { $name } (atención: este nombre lleva letras de { $scripts })

subject = { $audience ->
    [person] Se han sustraído datos suyos de { $service }
    [admin] Sus cuentas y el incidente de seguridad en { $service }
   *[organisation] Incidente de seguridad en { $service }: se han sustraído datos personales
}
subject-corrected = { $audience ->
    [person] Corrección: se han sustraído datos suyos de { $service }
    [admin] Corrección: sus cuentas y el incidente de seguridad en { $service }
   *[organisation] Corrección: incidente de seguridad en { $service }, se han sustraído datos personales
}
greeting = { $audience ->
    [person] Hola:
    [admin] A quienes administran { $sender }:
   *[organisation] A la persona responsable de { $sender }:
}

corrected = Esta es la versión { $version } de nuestro aviso sobre el incidente { $incident }. Sustituye a la versión { $before }, que no lo decía todo.

what-heading = Qué ha pasado
what = { $account ->
    [staff] Alguien utilizó la cuenta de una persona empleada de { $sender } para sacar datos personales de { $service }.
    [token] Alguien utilizó una clave técnica de acceso de { $sender } para sacar datos personales de { $service }.
    [vendor] Una empresa que trabaja para { $sender } perdió datos personales que tenía de { $service }.
   *[unknown] Alguien sacó datos personales de { $service }. Todavía no sabemos qué cuenta utilizó.
}
when-between = Ocurrió entre el { $from } y el { $to }.
when-at = Ocurrió el { $from }.
detected = Lo detectamos el { $at }.
contained = Lo detuvimos el { $at }.
not-contained = Seguimos trabajando para detenerlo.

fields-heading = { $audience ->
    [person] Qué datos suyos salieron
   *[other] Qué datos salieron
}
fields = { $audience ->
    [person] { $count ->
        [one] Salió un tipo de dato suyo:
       *[other] Salieron { $shown } tipos de datos suyos:
    }
   *[other] { $count ->
        [one] Salió un tipo de dato:
       *[other] Salieron { $shown } tipos de datos:
    }
}
field-distinct-id = el número o nombre con el que { $service } reconoce a un usuario
field-email = dirección de correo electrónico
field-phone = número de teléfono
field-name = nombre
field-place = dirección postal o lugar
field-network-address = dirección de red (IP)
field-birth = fecha de nacimiento o edad
field-events = lo que se hizo con { $service } y cuándo
field-other = otros datos personales guardados en el perfil
nothing-else = Hasta donde sabemos, no salió nada más.

affected = { $count ->
    [one] Hay una persona afectada.
   *[other] Hay { $shown } personas afectadas.
}

done-heading = Qué hemos hecho
measure-locked = Se bloqueó la cuenta.
measure-sessions = Se cerraron todas las sesiones abiertas.
measure-tokens = Se sustituyeron las claves de acceso.
measure-vendor = Ya no se envía nada a esa empresa.
measure-authority = Se informó a la autoridad de control.
measure-none = Estamos investigando lo ocurrido.

do-heading = Qué debe hacer
advice-phishing = Cuente con recibir mensajes falsos que conocen estos datos. No siga sus enlaces ni llame a los números que indiquen.
advice-never = Nunca pedimos una contraseña, un código de acceso ni una clave: ni por correo, ni por teléfono, ni por SMS.
advice-domain = Mire bien el dominio de todo mensaje que diga venir de nosotros.
advice-mfa = Proteja su buzón y sus cuentas con una aplicación de autenticación o una llave de seguridad, no con códigos por SMS.
advice-sso = Exija el segundo factor también en el inicio de sesión único, a todas las personas.
advice-staff = Avise a todas las personas con cuenta y pídales que comuniquen los mensajes que les inviten a iniciar sesión.
advice-rotate = Sustituya las claves de acceso que el personal podía ver.
advice-inform = Informe a las personas afectadas y a su autoridad de control cuando la ley se lo exija. La lista de personas está en el paquete que tenemos preparado para ustedes.

check-heading = Cómo comprobar que este aviso es auténtico
check = En este aviso no hay nada que pulsar. Escriba usted la dirección de { $host } en su navegador, abra la página «incidents», elija el incidente { $incident } y escriba allí este código:
check-shows = La página dice si el código es auténtico y muestra el texto de este aviso para que lo compare.
contact = ¿Preguntas? Escriba a { $contact }. No responda a nadie más.
signed = { $sender }
